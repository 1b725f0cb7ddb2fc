from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fednb.errors import RunError
from fednb.site.tasks.runtime import (
    cap_gpu_memory,
    generator,
    prepare,
    seed_of,
    seed_torch,
)


def test_seeds_are_the_same_on_every_machine():
    # printf '0\x1fucsf\x1f3' | sha256sum, first 8 bytes, halved
    assert seed_of(0, "ucsf", 3) == 8156725586804777109
    assert 0 <= seed_of("x") < 2**63


def test_scopes_do_not_touch_each_other():
    first = generator(0, "a", 1, "order").random(3)
    generator(0, "b", 1, "order").random(5)
    assert np.array_equal(generator(0, "a", 1, "order").random(3), first)
    assert not np.array_equal(generator(0, "a", 2, "order").random(3), first)
    assert seed_of(1, 11) != seed_of(11, 1)


def test_torch_is_seeded_by_scope():
    draws = []
    for site in ("a", "b", "a"):
        seed_torch(0, site)
        draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_a_cpu_runs_in_full_precision_with_the_threads_of_the_plan():
    before = torch.get_num_threads()
    try:
        runtime = prepare("cpu", amp=True, threads=2, gpu_gib=1.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (runtime.device.type, runtime.half) == ("cpu", False)
    with runtime.precision():
        assert not torch.is_autocast_enabled("cpu")


def test_auto_without_cuda_is_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    runtime = prepare("auto", amp=True, threads=threads, gpu_gib=1.0)
    assert runtime.device.type == "cpu"
    with pytest.raises(RunError) as caught:
        prepare("cuda", amp=True, threads=threads, gpu_gib=1.0)
    assert caught.value.cause == "device"


@pytest.mark.parametrize(("cap", "fraction"), [(4.0, 0.25), (64.0, 1.0)])
def test_the_memory_cap_is_a_fraction_of_the_gpu(
    monkeypatch: pytest.MonkeyPatch, cap: float, fraction: float
):
    card = SimpleNamespace(total_memory=16 * 2**30)
    set_to = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda share, device: set_to.append((share, device)),
    )
    cap_gpu_memory(cap)
    assert set_to == [(fraction, 0)]

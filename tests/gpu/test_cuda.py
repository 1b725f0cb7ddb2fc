from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch
from task_fixtures import Hospital, make_hospital, small_plan

from fednb.errors import CodeError
from fednb.records.arrays import unpack, unpack_all
from fednb.records.code import Code
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, ModelRef, TrainingPlan
from fednb.site.tasks.confined import Watch, initialise_confined
from fednb.site.tasks.embed import embed
from fednb.site.tasks.evaluate import evaluate
from fednb.site.tasks.job import InitialiseJob, JobResult
from fednb.site.tasks.runtime import GIB, cap_gpu_memory, prepare
from fednb.site.tasks.train import train
from fednb.site.tasks.worker import TASKS, run
from fednb.site.walls import Terms

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gpu


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return make_hospital(tmp_path)


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def plan_on(device: str, **fields: object) -> TrainingPlan:
    # One step of plain SGD on the whole batch: the update is the gradient.
    fields = {"optimiser": "sgd", "batch_size": 8, "amp": False} | fields
    return msgspec.structs.replace(small_plan(), device=device, **fields)


def update_of(hospital: Hospital, plan: TrainingPlan) -> np.ndarray:
    return unpack(train(hospital.job(plan), ignore).vectors["update"])


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


def test_cuda_and_cpu_take_the_same_step(hospital: Hospital):
    cpu = update_of(hospital, plan_on("cpu"))
    cuda = update_of(hospital, plan_on("cuda"))
    # TensorFloat-32 keeps ten bits of the mantissa.
    assert distance(cpu, cuda) < 5e-3


def test_mixed_precision_stays_near(hospital: Hospital):
    full = update_of(hospital, plan_on("cuda"))
    mixed = update_of(hospital, plan_on("cuda", amp=True))
    assert 0 < distance(full, mixed) < 0.1
    assert mixed.dtype == np.float32


def test_evaluation_and_embeddings_agree(hospital: Hospital):
    found = []
    for device in ("cpu", "cuda"):
        ref = ModelRef("0" * 64, plan_on(device))
        job = hospital.job(EvaluationPlan(ref, "test"))
        found.append(unpack(evaluate(job, ignore).vectors["metrics"]))
        place = hospital.job(EmbeddingPlan(ref), embedding=device)
        assert unpack_all(embed(place, ignore).vectors)["receipt"].tolist() == [16, 3]
    assert np.allclose(found[0], found[1], rtol=1e-2)


def test_auto_takes_the_gpu():
    assert prepare("auto", amp=True, threads=1, gpu_gib=1.0).device.type == "cuda"


def test_the_memory_cap_holds(hospital: Hospital, monkeypatch: pytest.MonkeyPatch):
    cap_gpu_memory(0.5)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(GIB, dtype=torch.uint8, device="cuda")

        def hungry(job: object, progress: object) -> JobResult:
            torch.empty(GIB, dtype=torch.uint8, device="cuda")
            return JobResult("unreachable")

        monkeypatch.setitem(TASKS, TrainingPlan, hungry)
        result = run(hospital.job(plan_on("cuda")), Sink())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert result.cause == "limit"


LOOKS = """
import torch


def net(channels, embedding):
    raise ValueError(repr(torch.cuda.is_available()))
"""


def test_a_requesters_own_code_sees_no_gpu():
    """Whatever walls there are: ``device="auto"`` is then the CPU."""
    assert torch.cuda.is_available()
    job = InitialiseJob("initialise", Code("net", LOOKS), 1, 0, 0)
    with pytest.raises(CodeError) as error:
        initialise_confined(job, Terms("where-possible"), Watch(120.0, lambda: True))
    assert "ValueError: False" in error.value.detail


class Sink:
    """Takes frames, and does nothing with them."""

    def write(self, data: memoryview) -> int:
        return len(data)

    def flush(self) -> None:
        """Do nothing."""

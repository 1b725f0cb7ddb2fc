from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from fednb.models.optimise import optimiser


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_equal_those_of_torch(name: str, decay: float):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 1))
    other = copy.deepcopy(model)
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    theirs = kind(other.parameters(), lr=0.01, weight_decay=decay)
    ours = optimiser(name, model.parameters(), 0.01, decay)
    for _ in range(20):
        x = torch.randn(8, 5)
        for net, opt in ((model, ours), (other, theirs)):
            opt.zero_grad()
            net(x).square().mean().backward()
            opt.step()
    for mine, torchs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, torchs, rtol=1e-6, atol=1e-8)


def test_one_sgd_step_by_hand():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    step = optimiser("sgd", [weight], rate=0.5, decay=0.1)
    (3 * weight).sum().backward()
    step.step()
    assert weight.item() == pytest.approx(2.0 - 0.5 * (3.0 + 0.1 * 2.0))


def test_a_parameter_without_gradient_stays():
    used, unused = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    step = optimiser("adamw", [used, unused], rate=0.1, decay=0.1)
    used.sum().backward()
    step.step()
    assert unused.item() == 1.0
    assert used.item() != 1.0


def test_the_compiler_of_torch_stays_out():
    code = (
        "import sys, torch\n"
        "from fednb.models.build import build\n"
        "from fednb.models.optimise import optimiser\n"
        "from fednb.records.tasks import ModelSpec\n"
        "net = build(ModelSpec('small-cnn-3d'), 2, 0, 0)\n"
        "step = optimiser('adamw', net.parameters(), 1e-3, 0.0)\n"
        "net(torch.zeros(2, 2, 16, 16, 16)).sum().backward()\n"
        "step.step()\n"
        "raise SystemExit(bool({'torch._dynamo', 'monai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert done.returncode == 0

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from fednb.errors import InputError, UnknownNameError
from fednb.records.specs import StrategySpec
from fednb.records.tasks import TrainingPlan
from fednb.strategies import (
    STRATEGIES,
    CyclicWeightTransfer,
    FedAvg,
    FedProx,
    Scaffold,
    resolve,
)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_survives_its_spec(name: str):
    strategy = STRATEGIES[name]()
    spec = msgspec.json.decode(msgspec.json.encode(strategy.spec()), type=StrategySpec)
    assert resolve(spec) == strategy


def test_parameters_survive_their_spec():
    for strategy in (
        FedProx(mu=1),
        CyclicWeightTransfer(order=("b", "a"), iterations=3, plti=True),
    ):
        encoded = msgspec.msgpack.encode(strategy.spec())
        spec = msgspec.msgpack.decode(encoded, type=StrategySpec)
        assert resolve(spec) == strategy


def test_a_plan_takes_a_strategy():
    plan = TrainingPlan(model="small-cnn-3d", target="idh", strategy=FedProx(mu=0.5))
    assert plan.strategy == StrategySpec("fedprox", {"mu": 0.5})


def test_what_is_unknown_or_wrong_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'fedprox'"):
        resolve(StrategySpec("fedprx"))
    with pytest.raises(UnknownNameError, match=r"Unknown parameter .* 'nu'"):
        resolve(StrategySpec("fedprox", {"nu": 1.0}))
    with pytest.raises(InputError, match=r"Strategy 'fedprox': .*`\$\.mu`"):
        resolve(StrategySpec("fedprox", {"mu": "x"}))
    with pytest.raises(InputError, match="mu of FedProx must be >= 0; got -1"):
        resolve(StrategySpec("fedprox", {"mu": -1.0}))


def test_optimisers_are_checked():
    FedAvg().check("adamw")
    with pytest.raises(InputError, match="'scaffold' needs sgd; got 'adamw'"):
        Scaffold().check("adamw")


def test_strategies_need_no_torch():
    code = (
        "import sys\n"
        "import fednb.strategies, fednb.models.registry\n"
        "raise SystemExit(bool({'torch', 'monai', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert done.returncode == 0

from __future__ import annotations

import numpy as np
import pytest
from toy import Toy, flat

from fednb.errors import InputError, PlanError
from fednb.records.outcomes import Survival
from fednb.records.tasks import TrainingPlan
from fednb.strategies import CyclicWeightTransfer, FedAdam, FedAvg, Scaffold
from fednb.strategies.refreshed import Refreshed
from fednb.strategies.registry import strategy_of

SUMS = {"baseline": np.arange(6.0)}


@pytest.mark.parametrize("inner", [FedAvg(), Scaffold(), FedAdam()])
def test_two_halves_are_one_round_of_the_inner_strategy(inner):
    refreshed = Refreshed(inner, 6)
    plain, state = inner.initial(flat(1, 2)), refreshed.initial(flat(1, 2))
    for _ in range(3):
        mean = {name: flat(0.5, -0.25) for name in inner.vectors(2)}
        assert refreshed.awaited(state) == ("baseline",)
        assert "baseline" not in refreshed.broadcast(state)
        weights = state.weights
        state = refreshed.aggregate(state, SUMS)
        assert state.weights is weights
        assert refreshed.awaited(state) == tuple(mean)
        sent = refreshed.broadcast(state)
        assert sent.pop("baseline") is SUMS["baseline"]
        assert sent.keys() == inner.broadcast(plain).keys()
        state = refreshed.aggregate(state, mean)
        plain = inner.aggregate(plain, mean)
        assert np.array_equal(state.weights, plain.weights)
        assert state.round == 2 * plain.round
    assert state.extra.keys() == plain.extra.keys()


def test_the_site_half_is_the_inner_strategys():
    toy = Toy([[1.0]], [2.0])
    found = Refreshed(FedAvg(), 6).local(toy.round({"weights": flat(0.0)}))
    again = FedAvg().local(toy.round({"weights": flat(0.0)}))
    assert np.array_equal(found["update"], again["update"])
    assert Refreshed(FedAvg(), 6).vectors(5) == {"update": 5, "baseline": 6}


def test_only_deep_cox_is_refreshed():
    def plan(target: str | Survival, strategy: str = "fedavg") -> TrainingPlan:
        return TrainingPlan(model="small-cnn-3d", target=target, strategy=strategy)

    deep = Survival("os", "death", intervals=(3.0, 6.0))
    assert strategy_of(plan(deep)) == Refreshed(FedAvg(), 6)
    assert plan(deep).calls == 2
    for target in ("idh", Survival("os", "death", loss="partial-likelihood")):
        assert strategy_of(plan(target)) == FedAvg()
        assert plan(target).calls == 1
    relayed = strategy_of(plan("idh", "cyclic"))
    assert relayed == CyclicWeightTransfer()
    with pytest.raises(PlanError) as error:
        strategy_of(plan(deep, "cyclic"))
    assert str(error.value) == (
        "Strategy 'cyclic' trains one site after the other, so no baseline over all "
        "sites is at its weights. Use another strategy, or loss='partial-likelihood'."
    )


def test_the_inner_strategy_checks_the_optimiser():
    Refreshed(Scaffold(), 6).check("sgd")
    with pytest.raises(InputError, match=r"^Strategy 'scaffold' needs sgd"):
        Refreshed(Scaffold(), 6).check("adamw")

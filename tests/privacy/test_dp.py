"""Differential privacy of a plan: what is settled before anybody signs."""

from __future__ import annotations

import msgspec
import pytest

from fednb.errors import PlanError
from fednb.privacy.accountant import Steps, epsilon_of
from fednb.privacy.dp import check_dp, settle_dp, steps_of
from fednb.records.base import canonical
from fednb.records.dp import DP
from fednb.records.tasks import TrainingPlan

SUBJECTS = (100, 140)


def plan(dp: DP | None, **changes: object) -> TrainingPlan:
    given = {"model": "small-cnn-3d", "target": "idh", "rounds": 5, "batch_size": 12}
    return TrainingPlan(**{**given, **changes}, dp=dp)


def test_epsilon_is_turned_into_noise():
    settled = settle_dp(plan(DP(epsilon=8)), SUBJECTS)
    dp = settled.dp
    assert dp is not None
    # 60 of the smallest site's 100 patients are trained on, 12 a step
    assert (dp.sampling_rate, dp.steps, dp.patients) == (0.2, 5, 144.0)
    assert 7.9 < dp.epsilon <= 8
    spent = Steps(dp.noise_multiplier, 0.2, 25)
    assert steps_of(settled, 5) == spent
    assert epsilon_of((spent,), 1e-5) <= dp.epsilon
    check_dp(settled)


def test_noise_is_turned_into_epsilon():
    settled = settle_dp(plan(DP(noise_multiplier=1.5)), SUBJECTS)
    assert settled.dp is not None
    cost = epsilon_of((Steps(1.5, 0.2, 25),), 1e-5)
    assert cost <= settled.dp.epsilon <= cost + 0.001


def test_what_is_settled_stays_as_it_is_on_every_machine():
    once = settle_dp(plan(DP(epsilon=3, delta=1e-6)), SUBJECTS)
    assert settle_dp(once, (50, 70, 90)) == once
    read = msgspec.json.decode(canonical(once), type=TrainingPlan)
    assert canonical(read) == canonical(once)


def test_two_epochs_are_twice_the_steps():
    settled = settle_dp(plan(DP(epsilon=8), local_epochs=2), SUBJECTS)
    assert settled.dp is not None
    assert settled.dp.steps == 10


def test_a_small_site_gives_every_patient_at_each_step():
    settled = settle_dp(plan(DP(epsilon=8), batch_size=100), SUBJECTS)
    assert settled.dp is not None
    assert (settled.dp.sampling_rate, settled.dp.steps) == (1.0, 1)


def test_more_rounds_than_the_plan_allows_are_told():
    settled = settle_dp(plan(DP(epsilon=2)), SUBJECTS)
    longer = msgspec.structs.replace(settled, rounds=50)
    with pytest.raises(PlanError, match=r"costs epsilon [\d.]+ in 250 steps at"):
        settle_dp(longer, SUBJECTS)


def test_a_contract_that_understates_its_cost_is_refused():
    settled = settle_dp(plan(DP(epsilon=8)), SUBJECTS)
    low = msgspec.structs.replace(settled.dp, epsilon=1.0)
    wrong = msgspec.structs.replace(settled, dp=low)
    with pytest.raises(PlanError, match=r"names epsilon 1; its 5 rounds cost 7\.9"):
        check_dp(wrong)
    with pytest.raises(PlanError, match="must be settled"):
        check_dp(plan(DP(epsilon=8)))
    check_dp(plan(None))
    assert settle_dp(plan(None), SUBJECTS) == plan(None)


@pytest.mark.parametrize(
    "field",
    [
        {"epsilon": -1.0},
        {"noise_multiplier": 2000.0},
        {"max_grad_norm": 0.0},
        {"delta": 0.5},
        {"delta": float("nan")},
        {"sampling_rate": 1.5},
        {"steps": -1},
        {"patients": -1.0},
    ],
)
def test_numbers_out_of_range_are_named(field: dict[str, float]):
    (name,) = field
    with pytest.raises(PlanError, match=f"{name} = .* is out of range"):
        DP(**{"epsilon": 8.0, **field})


def test_dp_without_any_bound_is_refused():
    with pytest.raises(PlanError, match="needs an epsilon, or a noise_multiplier"):
        DP()

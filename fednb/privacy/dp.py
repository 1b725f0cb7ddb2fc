"""Settles the differential privacy of a plan, and checks what a contract says of it.

Pure: the scientist's side settles, every site derives the same cost again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from fednb.errors import PlanError
from fednb.privacy.accountant import Steps, epsilon_of, noise_for, rounded_up
from fednb.records.specs import ModelSpec, TransformSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.tasks import TrainingPlan

_TOLERANCE = 0.001
"""Between the epsilon that a contract names and that of another machine."""


def settle_dp(plan: TrainingPlan, subjects: Sequence[int]) -> TrainingPlan:
    """Return a plan whose differential privacy leaves nothing open.

    Parameters
    ----------
    plan
        Any training plan; one without differential privacy comes back as it is.
    subjects
        Patients of each site's dataset, as the cards show them. Of these, the plan's
        training share is taken as trained on, also where a column gives the split:
        steps are scaled by it, and the privacy does not depend on it.

    Raises
    ------
    PlanError
        The training costs more than the plan allows, or looks at patients together.
    InputError
        The plan's epsilon cannot be reached.
    """
    dp = plan.dp
    if dp is None:
        return plan
    _check_alone(plan)
    share = plan.split.train or 1.0
    smallest = max(share * min(subjects), 1.0)
    rate = dp.sampling_rate
    if not rate:
        rate = min(1.0, max(math.ceil(1e4 * plan.batch_size / smallest) / 1e4, 1e-6))
    steps = dp.steps or plan.local_epochs * math.ceil(1 / rate)
    count = steps * plan.rounds
    noise = dp.noise_multiplier or noise_for(dp.epsilon, dp.delta, rate, count)
    cost = rounded_up(epsilon_of((Steps(noise, rate, count),), dp.delta))
    if dp.epsilon and cost > dp.epsilon:
        message = (
            f"The noise multiplier {noise:g} costs epsilon {cost:g} in {count} steps "
            f"at sampling rate {rate:g}; the plan allows {dp.epsilon:g}. Leave one of "
            "the two out, or train for fewer rounds."
        )
        raise PlanError(message)
    settled = msgspec.structs.replace(
        dp,
        epsilon=max(cost, 10.0**-3),
        noise_multiplier=noise,
        sampling_rate=rate,
        steps=steps,
        patients=dp.patients or max(share * sum(subjects), 1.0),
    )
    return msgspec.structs.replace(plan, dp=settled)


def check_dp(plan: TrainingPlan) -> None:
    """Refuse a contract's plan that leaves something open or understates its cost.

    Raises
    ------
    PlanError
        The owner would read a smaller epsilon than the training costs, or the training
        looks at patients together.
    """
    dp = plan.dp
    if dp is None:
        return
    _check_alone(plan)
    if not dp.settled:
        message = f"The differential privacy of a contract must be settled; got {dp}."
        raise PlanError(message)
    cost = epsilon_of((steps_of(plan, plan.rounds),), dp.delta)
    if cost > dp.epsilon + _TOLERANCE:
        message = (
            f"The contract names epsilon {dp.epsilon:g}; its {plan.rounds} rounds cost "
            f"{rounded_up(cost):g} at delta {dp.delta:g}."
        )
        raise PlanError(message)


def steps_of(plan: TrainingPlan, rounds: int) -> Steps:
    """Return what some rounds of a plan spend at one site.

    Parameters
    ----------
    plan
        With settled differential privacy.
    rounds
        How many.

    Raises
    ------
    PlanError
        The plan has no differential privacy.
    """
    if plan.dp is None:
        message = "The plan has no differential privacy."
        raise PlanError(message)
    dp = plan.dp
    return Steps(dp.noise_multiplier, dp.sampling_rate, dp.steps * rounds)


def _check_alone(plan: TrainingPlan) -> None:
    """Refuse training in which one patient's gradient depends on other patients."""
    if not isinstance(plan.target, str):
        message = (
            "A survival target cannot be trained for under differential privacy: its "
            "risk sets join patients. Give a binary column."
        )
        raise PlanError(message)
    given = (plan.network, *plan.transforms)
    named = all(isinstance(part, ModelSpec | TransformSpec) for part in given)
    if not named or plan.loss is not None:
        message = (
            "Code of your own cannot be trained with under differential privacy: it "
            "could carry something over from one patient to the next. Name a network "
            "and transforms of fednb."
        )
        raise PlanError(message)

"""Weights under which a mean over sites would be one site's part."""

from __future__ import annotations

import msgspec
import pytest
from filing import contract_of

from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.shares import check_shares, means_in
from fednb.records.contracts import OutputSpec
from fednb.records.dp import DP
from fednb.records.tasks import DescribePlan, TrainingPlan


@pytest.mark.parametrize(
    ("weights", "allow"),
    [
        ((1 / 3, 1 / 3, 1 / 3), True),
        ((0.8, 0.1, 0.1), True),
        # all others weigh a bit more and a bit less than a tenth of the heaviest
        ((0.908, 0.046, 0.046), True),
        ((0.91, 0.045, 0.045), False),
        ((1 - 2e-9, 1e-9, 1e-9), False),
        ((1.0,), False),
    ],
)
def test_the_others_weigh_a_tenth_of_the_heaviest(weights, allow):
    assert check_shares(weights, STANDARD).allow is allow
    assert check_shares(weights, RARE_DISEASE).allow is allow
    assert check_shares(weights, OPEN).allow


def test_the_owner_reads_what_was_weighed():
    decision = check_shares((0.98, 0.01, 0.01), STANDARD)
    assert decision.rule == "disclosure.6-dominance"
    assert decision.reason == (
        "the heaviest site has a weight of 0.98, all others together 0.02; "
        "at least 0.1 of the heaviest is needed"
    )


def test_weights_matter_where_updates_are_masked_and_not_private():
    def sums(plan: TrainingPlan | DescribePlan, kind: str):
        output = OutputSpec(0, "update", kind, 1, 4, 1, "")
        return means_in(contract_of(steps=(plan,), outputs=(output,)))

    plan = TrainingPlan("small-cnn-3d", "idh")
    assert sums(plan, "masked")
    assert not sums(plan, "weights")
    assert not sums(DescribePlan((), ()), "masked")
    assert not sums(msgspec.structs.replace(plan, dp=DP(epsilon=8.0)), "masked")

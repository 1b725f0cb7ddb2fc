"""What an assessment's plan takes, and what it says of anything else."""

from __future__ import annotations

import pytest

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan, FixedModel

COX = FixedModel("cox", (0.5,), ("age",))
ASKED = {"duration": "months", "event": "death", "times": (6.0, 12.0, 24.0)}


@pytest.mark.parametrize(
    "changes",
    [
        {"at": (7.0,)},
        {"at": (6.0,), "times": ()},
        {"baseline": (0.1, 0.2)},
        {"baseline": (0.1, 0.3, 0.2)},
        {"baseline": (-0.1, 0.1, 0.2)},
    ],
)
def test_times_and_a_baseline_fit_together(changes):
    with pytest.raises(PlanError, match=r"^`at` lies among `times`, and a base"):
        AssessmentPlan(COX, **{**ASKED, **changes})


def test_what_fits_is_taken():
    plan = AssessmentPlan(COX, **ASKED, at=(12.0,), baseline=(0.1, 0.1, 0.2))
    assert (plan.intervals(), plan.assessed_times()) == (3, 1)
    assert AssessmentPlan(COX, duration="months", event="death").intervals() == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": (6.0, 6.0)}, "times must ascend strictly between 0 and inf."),
        ({"times": (0.0, 6.0)}, "times must ascend strictly between 0 and inf."),
        (
            {"thresholds": (0.5, 1.0)},
            "thresholds must ascend strictly between 0 and 1.",
        ),
        ({"bins": 1}, "Give 2 to 400 bins and at most 400 times; got 1 and 3."),
        (
            {"duration": ""},
            'Say what a cox model is assessed by: duration="..." and event="...".',
        ),
    ],
)
def test_ranges_are_told(changes, message):
    with pytest.raises(PlanError) as caught:
        AssessmentPlan(COX, **{**ASKED, **changes})
    assert str(caught.value) == message


def test_coefficients_are_as_many_as_columns_and_finite():
    for numbers in ((), (0.5, 0.1), (float("nan"),)):
        with pytest.raises(PlanError, match="needs as many finite coefficients"):
            FixedModel("cox", numbers, ("age",))

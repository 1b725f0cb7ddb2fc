"""What a contract names of an assessment's rounds is what its rounds bring."""

from __future__ import annotations

import pytest

from fednb.records.assessment import (
    MOST_LEVELS,
    AssessmentPlan,
    FixedModel,
    default_times,
)
from fednb.records.datasets import Column
from fednb.survival.assessment import AssessmentDesign
from fednb.survival.pairs import PAIR_SUMS

MODEL = {"coefficients": (0.5, 0.2), "covariates": ("age", "volume")}
COX = AssessmentPlan(FixedModel("cox", **MODEL), duration="months", event="death")
TIMED = AssessmentPlan(
    FixedModel("cox", **MODEL),
    duration="months",
    event="death",
    times=(6.0, 12.0, 24.0),
    at=(12.0,),
    bins=10,
)
CLASSIFIER = AssessmentPlan(FixedModel("logistic", **MODEL), target="idh")


def design_of(plan: AssessmentPlan, levels: int = 0) -> AssessmentDesign:
    months = Column("months", "number", lower=0.0, upper=120.0)
    grid = () if plan.target else plan.times or default_times(months)
    labels = tuple(("sex", str(i)) for i in range(levels))
    return AssessmentDesign(plan, grid, labels, tuple(plan.needs()))


@pytest.mark.parametrize("plan", [COX, TIMED, CLASSIFIER])
def test_every_round_is_as_long_as_its_phase(plan):
    design = design_of(plan)
    for phase in plan.phases():
        spare = 0
        if phase.name == "risk":
            # columns that hold 0 and 1 are counted, which the plan does not know
            spare = plan.model.table_width()
        assert design.layout(phase.name).size == phase.elements - spare, phase.name


def test_subgroups_have_room_for_the_most_labels_of_a_column():
    asked = {"duration": "months", "event": "death", "subgroups": ("sex",)}
    plan = AssessmentPlan(FixedModel("cox", **MODEL), **asked)
    (room,) = (p.elements for p in plan.phases() if p.name == "joint")
    assert design_of(plan, MOST_LEVELS).layout("joint").size == room
    assert design_of(plan, 2).layout("joint").size == room - (MOST_LEVELS - 2) * (
        2 + PAIR_SUMS
    )

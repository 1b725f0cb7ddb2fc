"""Times and knots lie on the owners' grid, to the last bit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import PlanError, UnknownNameError
from fednb.records.assessment import AssessmentPlan, FixedModel, default_times
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.records.edges import check_edges, edges_of, on_owners_grid
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.outcomes import Survival
from fednb.records.tasks import EvaluationPlan, ModelRef, TrainingPlan

OS = Column("os", "number", lower=0.0, upper=120.0, step=6.0)
TENTHS = Column("os", "number", lower=0.0, upper=2.0, step=0.1)
AGE = Column("age", "number", lower=18.0, upper=90.0, step=5.0)
COLUMNS = (OS, AGE)
MODEL = FixedModel("cox", (0.1,), ("age",))


def cox(**fields):
    return CoxPlan(covariates=("age",), duration="os", event="death", **fields)


def assessed(*times, **fields):
    return AssessmentPlan(MODEL, "os", "death", times=times, **fields)


def trained(*ends):
    return TrainingPlan("small-cnn-3d", Survival("os", "death", intervals=ends))


NAMED = {
    "grid": lambda end: cox(grid=(6.0, end)),
    "time_varying": lambda end: cox(time_varying={"age": (end,)}),
    "times": lambda end: assessed(6.0, end),
    "intervals": lambda end: trained(6.0, end),
    "of a network": lambda end: EvaluationPlan(ModelRef("0" * 64, trained(6.0, end))),
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_time_off_the_grid_is_refused_wherever_a_plan_names_it(name):
    check_edges(NAMED[name](24.0), COLUMNS)
    message = (
        r"^Outside the open profile times lie on the owners' grid of 'os' \(0, 6, 12 "
        r"\.\.\.\); 23\.9 does not\. Name ends of that grid, or leave them out\.$"
    )
    with pytest.raises(PlanError, match=message):
        check_edges(NAMED[name](23.9), COLUMNS)
    # an edge beyond the grid's last one could be slid, too
    with pytest.raises(PlanError, match=r"126\.0 does not"):
        check_edges(NAMED[name](126.0), COLUMNS)
    with pytest.raises(UnknownNameError, match="'os'"):
        check_edges(NAMED[name](24.0), (AGE,))


@pytest.mark.parametrize("term", ["ns(age, 40, 60)", "bs(age, 40, 60):idh + idh"])
def test_a_knot_off_the_grid_is_refused(term):
    grid = Column("age", "number", lower=20.0, upper=90.0, step=5.0)
    check_edges(LogisticPlan(formula=term), (grid,))
    message = r"knots lie on the owners' grid of 'age' \(18, 23, 28 \.\.\.\); 40\.0"
    with pytest.raises(PlanError, match=message):
        check_edges(LogisticPlan(formula=term), COLUMNS)


def test_knots_that_no_number_holds_are_refused():
    plan = LogisticPlan(formula="ns(age, 1e999)")
    with pytest.raises(PlanError, match="inf does not"):
        check_edges(plan, COLUMNS)


def test_bins_of_an_assessment_divide_twenty():
    check_edges(assessed(bins=10), COLUMNS)
    with pytest.raises(PlanError, match=r"bins divide 20; got 19\."):
        check_edges(assessed(bins=19), COLUMNS)


def test_curves_may_be_read_off_at_any_time():
    plan = SurvivalPlan("os", "death", (7.3, 24))
    assert not list(edges_of(plan))
    assert on_owners_grid(plan, COLUMNS) is plan


@given(st.integers(1, 20), st.floats(-1, 1))
def test_a_site_takes_an_edge_to_the_last_bit_only(place, off):
    """Patients who lie on an edge would be on either side of one that is near it."""
    edge = TENTHS.grid()[place]
    near = edge * (1 + 1e-11 * off)
    plan = cox(grid=(near,), time_varying={})
    moved = on_owners_grid(plan, (TENTHS,))
    assert moved.grid == (edge,)
    check_edges(moved, (TENTHS,))
    if near != edge:
        with pytest.raises(PlanError, match=r"grid of 'os' \(0, 0\.1, 0\.2 \.\.\.\);"):
            check_edges(plan, (TENTHS,))


def test_a_draft_writes_what_was_meant():
    # 3 * 0.1 is not 0.3
    assert TENTHS.grid()[3] != 0.3
    columns = (TENTHS,)
    assert on_owners_grid(cox(grid=(0.3,)), columns).grid == (TENTHS.grid()[3],)
    found = on_owners_grid(cox(time_varying={"age": (0.3, 0.6)}), columns)
    assert found.time_varying == {"age": (TENTHS.grid()[3], TENTHS.grid()[6])}
    found = on_owners_grid(trained(0.3, 0.4), columns)
    assert found.survival.intervals == TENTHS.grid()[3:5]
    found = on_owners_grid(assessed(0.3, 0.6, 0.7, at=(0.6,)), columns)
    assert found.times == (TENTHS.grid()[3], *TENTHS.grid()[6:8])
    assert found.at == (TENTHS.grid()[6],)


def test_what_names_no_times_stays_as_it_is():
    for plan in (cox(), assessed(), trained(), TrainingPlan("small-cnn-3d", "idh")):
        check_edges(plan, COLUMNS)
        assert on_owners_grid(plan, COLUMNS) == plan


def test_default_times_share_the_owners_edges_to_the_last_bit():
    thirds = Column("os", "number", lower=0.0, upper=0.7, step=0.07)
    edges = [e for e in thirds.grid() if e > 0]
    near = [t for t in default_times(thirds) if any(math.isclose(t, e) for e in edges)]
    assert near == edges

import numpy as np
import pytest

from fednb.errors import InputError, PlanError
from fednb.records.curves import MAX_GROUPS, SurvivalPlan, curves_size
from fednb.records.datasets import Column
from fednb.survival.curves import CurveTables, curve_design

MONTHS = Column("months", "number", lower=0, upper=60, step=12)
COLUMNS = (
    MONTHS,
    Column("death", "binary"),
    Column("idh", "binary"),
    Column("grade", "category", levels=("2", "3", "4")),
)


def design(**options):
    plan = SurvivalPlan("months", "death", (6, 12), **options)
    return curve_design(plan, COLUMNS, 0.1)


def test_a_contract_fixes_the_grids_and_the_groups():
    found = design(by="grade")
    assert found.ends == (6, 12)
    assert found.owner_ends == (12, 24, 36, 48, 60)
    assert found.labels == ("2", "3", "4")
    assert found.shape == (3, 1, 2)
    assert design(by="idh").labels == ("0", "1")
    assert design().labels == ("",)


def test_one_round_brings_all():
    found = design(by="idh")
    assert found.replay([]).phase == "curves"
    total = np.arange(curves_size(*found.shape), dtype=float)
    stage = found.replay([total])
    assert stage.phase == "done"
    assert stage.tables.patients.tolist() == [0, 1]
    with pytest.raises(InputError, match="no further round is answered"):
        found.replay([total, total])


def test_tables_round_trip_and_add_up():
    shape = (2, 2, 3)
    rng = np.random.default_rng(2)
    vectors = []
    for _ in range(2):
        tables = CurveTables.blank(*shape)
        tables.exposed[:] = rng.integers(20, 60, (2, 2, 3))
        tables.deaths[:] = rng.integers(0, 20, (2, 2, 3))
        tables.patients[:] = [70, 80]
        tables.sites[:], tables.shown[:] = 1, 1
        vectors.append(tables.to_vector())
        assert vectors[-1].size == curves_size(*shape)
    total = CurveTables.from_vector(vectors[0] + vectors[1], shape)
    assert total.patients.tolist() == [140, 160]
    assert total.shown.tolist() == [[2, 2], [2, 2]]
    np.testing.assert_array_equal(total.to_vector(), vectors[0] + vectors[1])


def test_what_a_sum_in_fixed_point_moves_is_put_right():
    tables = CurveTables.blank(1, 1, 1)
    tables.deaths[:], tables.exposed[:] = 12 + 1e-9, 12
    tables.at_risk[:] = -1e-9
    found = CurveTables.from_vector(tables.to_vector(), (1, 1, 1))
    assert found.deaths[0, 0, 0] == found.exposed[0, 0, 0] == 12
    assert found.at_risk[0, 0] == 0
    with pytest.raises(InputError, match="does not hold curves of 2 groups"):
        CurveTables.from_vector(tables.to_vector(), (2, 1, 1))


def test_a_duration_that_may_be_negative_is_refused():
    plan = SurvivalPlan("months", "death", (6,))
    early = Column("months", "number", lower=-5, upper=60)
    with pytest.raises(PlanError) as caught:
        curve_design(plan, (early, *COLUMNS[1:]), 0.0)
    assert str(caught.value) == (
        "Column 'months' is declared from -5 on; time runs from 0. Ask the owners to "
        "correct negative times and declare lower=0."
    )


def test_too_many_groups_are_refused():
    levels = tuple("abcdefghi")
    plan = SurvivalPlan("months", "death", (6,), by="region")
    columns = (*COLUMNS, Column("region", "category", levels=levels))
    with pytest.raises(PlanError, match=f"9 levels; curves compare 1 to {MAX_GROUPS}"):
        curve_design(plan, columns, 0.0)


@pytest.mark.parametrize(
    ("grid", "shown"),
    [((), "nothing"), ((0, 6), "0, 6"), ((6, 6), "6, 6"), ((6, np.nan), "6, nan")],
)
def test_a_grid_that_does_not_ascend_is_refused(grid, shown: str):
    with pytest.raises(PlanError) as caught:
        SurvivalPlan("months", "death", grid)
    assert str(caught.value) == (
        "The grid holds the ends of intervals, ascending from above 0, such as "
        f"range(3, 61, 3); got {shown}."
    )


def test_a_column_is_only_one_thing():
    with pytest.raises(PlanError, match="only one thing; twice: death"):
        SurvivalPlan("months", "death", (6,), competing="death")
    with pytest.raises(PlanError, match="at most 1200 intervals; got 1300"):
        SurvivalPlan("months", "death", range(1, 1301))


def test_a_plan_names_what_it_needs_and_what_leaves():
    plan = SurvivalPlan(
        "months", "death", range(6, 61, 6), by="grade", entry="late", competing="other"
    )
    assert plan.grid == tuple(float(end) for end in range(6, 61, 6))
    assert plan.columns_used() == ("months", "death", "grade", "late", "other")
    (phase,) = plan.phases()
    assert (phase.name, phase.times) == ("curves", 1)
    assert phase.elements == curves_size(MAX_GROUPS, 2, 10)

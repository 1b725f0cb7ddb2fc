"""Survival curves over sites, against lifelines and R on pooled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test

from fednb.embedded.federation import Federation
from fednb.errors import (
    DatasetError,
    InputError,
    PlanError,
    RefusedError,
    UnknownNameError,
)
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.survival.aalen_johansen import aalen_johansen
from fednb.survival.intervals import SurvivalRows, interval_counts

COLUMNS = (
    Column("months", "number", lower=0, upper=120, step=6),
    Column("late", "number", lower=0, upper=120, step=6),
    Column("death", "binary"),
    Column("other", "binary"),
    Column("idh", "binary"),
    Column("grade", "category", levels=("2", "3", "4")),
)
GRID = tuple(float(month) for month in range(3, 97, 3))


def clinic(rows: int, seed: int) -> pd.DataFrame:
    """Return patients whose hazard, and its cause, is known."""
    rng = np.random.default_rng(seed)
    idh = rng.integers(0, 2, rows)
    time = rng.weibull(1.2, rows) * np.where(idh == 1, 90, 30)
    other, gone = rng.exponential(200, rows), rng.uniform(12, 100, rows)
    months = np.minimum(np.minimum(time, other), gone)
    return pd.DataFrame(
        {
            "months": months.round(2).clip(0.5),
            "late": np.where(rng.random(rows) < 0.3, months * 0.2, 0).round(2),
            "death": ((time <= other) & (time <= gone)).astype(int),
            "other": ((other < time) & (other <= gone)).astype(int),
            "idh": idh,
            "grade": rng.choice(["2", "3", "4"], rows, p=[0.45, 0.45, 0.1]),
        }
    )


FRAMES = {
    name: clinic(110, seed) for seed, name in enumerate(("east", "north", "west"))
}
POOLED = pd.concat(FRAMES.values())


def federate(frames=None, **options) -> Federation:
    given = {"approve": "auto", "profile": "open", "columns": COLUMNS, **options}
    return Federation.from_frames(FRAMES if frames is None else frames, **given)


def curves(fed: Federation, **options):
    plan = SurvivalPlan(
        **{"duration": "months", "event": "death", "grid": GRID, **options}
    )
    return fed.request(plan, purpose="curves").start().result()


@pytest.fixture(scope="module")
def opened():
    with federate() as fed:
        yield fed


@pytest.fixture(scope="module")
def standard():
    with federate(profile="standard") as fed:
        yield fed


def on_grid(table: pd.DataFrame) -> pd.Series:
    """Return times as ends of intervals; a time beyond the last is censored there."""
    ends = np.append(GRID, np.inf)
    return pd.Series(ends[np.searchsorted(GRID, table["months"])], index=table.index)


def test_open_curves_equal_lifelines_on_the_pooled_rows(opened: Federation):
    result = curves(opened, by="idh")
    assert result.groups == ("0", "1")
    for group in (0, 1):
        rows = POOLED[POOLED["idh"] == group]
        time = on_grid(rows)
        beyond = np.isinf(time)
        oracle = KaplanMeierFitter().fit(
            time.where(~beyond, 200), rows["death"].where(~beyond, 0)
        )
        curve = result[str(group)]
        expected = oracle.survival_function_at_times(curve.time)
        np.testing.assert_allclose(curve.survival, expected, atol=1e-9)
        table = oracle.event_table.reindex(curve.time)
        known = table["at_risk"].notna().to_numpy()
        np.testing.assert_array_equal(curve.at_risk[known], table["at_risk"][known])
        assert curve.quantile() == oracle.median_survival_time_
        lower = oracle.confidence_interval_.iloc[:, 0].reindex(curve.time)
        known &= (curve.survival < 1) & (curve.survival > 0)
        np.testing.assert_allclose(curve.band()[0][known], lower[known], atol=1e-9)


def test_the_open_test_equals_lifelines(opened: Federation):
    result = curves(opened, by="grade")
    time = on_grid(POOLED)
    beyond = np.isinf(time)
    oracle = multivariate_logrank_test(
        time.where(~beyond, 200), POOLED["grade"], POOLED["death"].where(~beyond, 0)
    )
    found = result.log_rank_test(stratified=False)
    assert found.test_statistic == pytest.approx(oracle.test_statistic, abs=1e-9)
    assert found.p_value == pytest.approx(oracle.p_value, rel=1e-9)


def test_open_competing_risks_equal_the_pooled_estimate(opened: Federation):
    result = curves(opened, competing="other")
    cause = POOLED["death"] + 2 * POOLED["other"]
    counts = interval_counts(SurvivalRows.of(POOLED["months"], cause), GRID, causes=2)
    expected = aalen_johansen(GRID, counts.deaths[:, 0], counts.at_risk[0])
    found = result.incidence()
    steps = found.time.size
    np.testing.assert_allclose(
        found.incidence, expected.incidence[:, :steps], atol=1e-9
    )
    np.testing.assert_allclose(
        found.std_error, expected.std_error[:, :steps], atol=1e-9
    )
    table = result.cumulative_incidence()
    assert table.loc[("other", 0.0)].tolist() == [0, 0, 0, 0]
    assert table.loc["death"]["incidence"].iloc[-1] == found.incidence[0, -1]


def test_open_late_entries_equal_the_pooled_estimate(opened: Federation):
    result = curves(opened, entry="late")
    rows = SurvivalRows.of(
        POOLED["months"], POOLED["death"], entry=POOLED["late"] - 1e-9
    )
    counts = interval_counts(rows, GRID)
    np.testing.assert_array_equal(result[""].at_risk, counts.at_risk[0])
    assert counts.at_risk[0, 0] < len(POOLED)


def test_standard_curves_stay_close_to_the_exact_ones(
    opened: Federation, standard: Federation
):
    exact, shown = (curves(fed, by="idh") for fed in (opened, standard))
    for group in ("0", "1"):
        truth, curve = exact[group], shown[group]
        at = curve.time
        # within two standard errors of the exact curve, rounding and merging included
        gap = np.abs(curve.survival - truth.at(at))
        assert gap.max() < 0.08
        assert gap.mean() < 0.03
        ratio = curve.std_error / truth.std_error[: at.size]
        assert 0.7 < np.median(ratio) < 1.5
    first, second = exact.log_rank_test(), shown.log_rank_test()
    assert second.test_statistic == pytest.approx(first.test_statistic, rel=0.1)


def test_standard_totals_are_rounded_and_small_groups_are_like_none():
    frames = {name: table.copy() for name, table in FRAMES.items()}
    few = frames["west"]
    few["grade"] = np.where(few.index < 9, "4", "2")
    frames["east"].loc[frames["east"]["grade"] == "4", "grade"] = "3"
    frames["north"].loc[frames["north"]["grade"] == "4", "grade"] = "3"
    without = {name: table.copy() for name, table in frames.items()}
    without["west"] = few[few["grade"] != "4"]
    found = []
    for tables in (frames, without):
        with federate(tables, profile="standard") as fed:
            result = curves(fed, by="grade")
            assert (result.tables.patients % 10 == 0).all()
            assert "4" not in result.groups
            assert "grade=4       <10" in repr(result)
            with pytest.raises(InputError, match="There is no curve of 'grade=4'"):
                result["4"]
            found.append(result.tables.to_vector())
    np.testing.assert_array_equal(*found)


def test_another_grid_brings_nothing_new(standard: Federation):
    fine = curves(standard, by="idh", grid=(6, 12, 18, 24, 30))
    coarse = curves(standard, by="idh", grid=(12, 24))
    # deaths by month 24, and who was at risk, follow from one and the same count
    deaths = fine.tables.deaths[0]
    pairs = deaths[:, :4].reshape(2, 2, 2).sum(axis=2)
    np.testing.assert_allclose(coarse.tables.deaths[0], pairs, atol=1e-8)
    at_risk = fine.tables.exposed[0][:, [0, 2]]
    np.testing.assert_allclose(coarse.tables.exposed[0], at_risk, atol=1e-8)
    np.testing.assert_array_equal(
        coarse.tables.tests[0].to_vector(), fine.tables.tests[0].to_vector()
    )


def test_one_patient_more_changes_nothing():
    fewer = {name: table.iloc[:-1] for name, table in FRAMES.items()}
    with federate(fewer, profile="standard") as fed:
        for name, table in FRAMES.items():
            # a later state of the same dataset: a patient came in since
            whole = table.assign(patient_id=[f"{name}-{i}" for i in table.index])
            with fed.owner(name) as owner:
                owner.create_dataset("later", table=whole, columns=COLUMNS)
        plan = SurvivalPlan("months", "death", GRID, by="idh")
        first, second = (
            fed.request(plan, dataset=dataset, purpose="curves").start().result()
            for dataset in ("table", "later")
        )
    np.testing.assert_array_equal(first.tables.to_vector(), second.tables.to_vector())


def test_a_curve_ends_where_few_are_at_risk(standard: Federation):
    result = curves(standard, by="idh")
    for group in result.groups:
        curve = result[group]
        assert (curve.at_risk >= 10 - 1e-6).all()
        assert curve.time[-1] < GRID[-1]
    with pytest.raises(InputError, match="The curve of 'idh=0' runs from 0 to"):
        result.at([96])
    assert result.at([12]).shape == (2, 3)


def test_a_site_with_few_patients_refuses():
    frames = {**FRAMES, "west": FRAMES["west"].iloc[:9]}
    with (
        federate(frames, profile="standard") as fed,
        pytest.raises(RefusedError) as caught,
    ):
        curves(fed)
    assert (caught.value.site, caught.value.cause) == ("west", "disclosure")


def test_everybody_censored():
    frames = {name: table.assign(death=0) for name, table in FRAMES.items()}
    with federate(frames) as fed:
        result = curves(fed, by="idh")
    assert (result["0"].survival == 1).all()
    assert (result["0"].band()[0] == 1).all()
    assert np.isinf(result.median_survival_time_).all()
    assert result.log_rank_test().p_value == 1.0
    assert "nothing to compare" in repr(result)
    assert "not reached, not reached" in repr(result)
    assert np.isfinite(result.to_frame().to_numpy()).all()


def test_one_site_and_a_group_that_it_lacks():
    frames = {"east": FRAMES["east"].assign(idh=0)}
    with federate(frames) as fed:
        result = curves(fed, by="idh")
    assert result.groups == ("0",)
    with pytest.raises(InputError, match="of 'idh=1': it has nobody"):
        result["1"]
    with pytest.raises(UnknownNameError, match="Unknown group '2'"):
        result["2"]
    assert result.log_rank_test().degrees_freedom == 0


def test_a_group_absent_at_one_site_is_compared_elsewhere():
    frames = {**FRAMES, "east": FRAMES["east"].assign(idh=0)}
    with federate(frames) as fed:
        with_absent = curves(fed, by="idh").log_rank_test()
    rest = {name: FRAMES[name] for name in ("north", "west")}
    with federate(rest) as fed:
        without = curves(fed, by="idh").log_rank_test()
    gap = with_absent.test_statistic - without.test_statistic
    assert abs(gap) < 1e-8


def test_times_of_zero_fall_into_the_first_interval(opened: Federation):
    frames = {name: table.copy() for name, table in FRAMES.items()}
    frames["east"].loc[:4, ["months", "death"]] = [0.0, 1]
    with federate(frames) as fed:
        first = curves(fed).tables.deaths[0, 0, 0]
    at_zero = FRAMES["east"].loc[:4]
    before = ((at_zero["months"] <= 3) & (at_zero["death"] == 1)).sum()
    assert first == curves(opened).tables.deaths[0, 0, 0] + 5 - before


def test_negative_times_are_refused():
    frames = {name: table.copy() for name, table in FRAMES.items()}
    frames["east"].loc[0, "months"] = -1.0
    with pytest.raises(DatasetError, match="months: -1 outside"):
        federate(frames)
    shifted = (Column("months", "number", lower=-6, upper=120, step=6), *COLUMNS[1:])
    plan = SurvivalPlan("months", "death", GRID)
    with federate(columns=shifted) as fed:
        with pytest.raises(PlanError, match="from -6 on"):
            fed.request(plan, purpose="curves")
        assert fed.requests == ()


def test_entries_after_exits_are_the_sites_to_mend():
    frames = {name: table.copy() for name, table in FRAMES.items()}
    frames["east"].loc[0, "late"] = 110.0
    with federate(frames) as fed, pytest.raises(RefusedError) as caught:
        curves(fed, entry="late")
    assert (caught.value.site, caught.value.cause) == ("east", "data")


def test_a_column_of_the_wrong_kind_is_refused_before_anybody_is_asked(
    opened: Federation,
):
    with pytest.raises(PlanError, match="'grade' must be number here"):
        curves(opened, duration="grade")
    with pytest.raises(UnknownNameError, match="Unknown column 'deth'"):
        curves(opened, event="deth")


def test_a_dry_run_gives_the_same_kind_of_result(opened: Federation):
    mock = opened["east"].datasets["table"].mock
    plan = SurvivalPlan("months", "death", GRID, by="idh")
    result = plan.dry_run(mock)
    assert result.labels == ("0", "1")

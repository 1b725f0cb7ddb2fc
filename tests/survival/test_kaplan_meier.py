import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_stanford_heart_transplants, load_waltons
from oracle_rows import GROUPS, of_r
from sksurv.nonparametric import kaplan_meier_estimator

from fednb.errors import InputError
from fednb.survival.kaplan_meier import (
    kaplan_meier,
    kaplan_meier_from_counts,
)


def test_by_hand():
    # 5 patients: death at 1, death and censoring at 2, censoring at 3, death at 4
    curve = kaplan_meier([1, 2, 2, 3, 4], [1, 1, 0, 0, 1])
    assert curve.time.tolist() == [1, 2, 3, 4]
    assert curve.at_risk.tolist() == [5, 4, 2, 1]
    assert curve.deaths.tolist() == [1, 1, 0, 1]
    assert curve.censored.tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(curve.survival, [0.8, 0.6, 0.6, 0])
    greenwood = 0.6 * np.sqrt(1 / 20 + 1 / 12)
    np.testing.assert_allclose(curve.std_error[1:], [greenwood, greenwood, 0])
    np.testing.assert_allclose(curve.at([0, 1, 1.5, 9]), [1, 0.8, 0.8, 0])


def test_curves_equal_lifelines():
    table = load_waltons()
    curve = kaplan_meier(table["T"], table["E"])
    oracle = KaplanMeierFitter().fit(table["T"], table["E"])
    expected = oracle.survival_function_at_times(curve.time)
    np.testing.assert_allclose(curve.survival, expected, atol=1e-12)
    events = oracle.event_table.loc[curve.time]
    np.testing.assert_array_equal(curve.at_risk, events["at_risk"])
    np.testing.assert_array_equal(curve.deaths, events["observed"])


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 80))
def test_curves_and_errors_equal_scikit_survival(seed: int, n: int):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 15, n), rng.random(n) < 0.6
    # the last patient is censored, so that the oracle's variance is a number
    time, event = np.append(time, 16), np.append(event, False)
    curve = kaplan_meier(time, event)
    grid, survival, interval = kaplan_meier_estimator(
        event, time, conf_type="log-log", conf_level=0.95
    )
    np.testing.assert_array_equal(curve.time, grid)
    np.testing.assert_allclose(curve.survival, survival, atol=1e-12)
    inside = survival < 1
    s, z = curve.survival[inside], 1.959963984540054
    theta = z * curve.std_error[inside] / (s * np.log(s))
    np.testing.assert_allclose(s ** np.exp(-theta), interval[0][inside], atol=1e-9)


def test_left_truncation():
    # the second patient enters at 2, after the first death and at the second
    curve = kaplan_meier([1, 5, 2, 4], [1, 1, 1, 0], entry=[0, 2, 0, 1])
    assert curve.at_risk.tolist() == [2, 2, 2, 1]
    np.testing.assert_allclose(curve.survival, [0.5, 0.25, 0.25, 0])


def test_left_truncation_equals_lifelines_where_no_entry_meets_an_exit():
    table = load_stanford_heart_transplants()
    table = table[table["start"] < table["stop"]]
    entry = table["start"] + 0.25 * (table["start"] > 0)
    curve = kaplan_meier(table["stop"], table["event"], entry)
    oracle = KaplanMeierFitter().fit(table["stop"], table["event"], entry=entry)
    expected = oracle.survival_function_at_times(curve.time)
    np.testing.assert_allclose(curve.survival, expected, atol=1e-12)


def test_grouped_counts_equal_the_rows():
    table = load_waltons()
    rows = kaplan_meier(table["T"], table["E"])
    counts = kaplan_meier_from_counts(
        rows.time, rows.deaths, rows.censored, rows.at_risk
    )
    np.testing.assert_array_equal(counts.survival, rows.survival)
    np.testing.assert_array_equal(counts.std_error, rows.std_error)


def test_counts_with_nobody_left_stay_numbers():
    curve = kaplan_meier_from_counts([6, 12, 18], [4, 0, 0], [0, 0, 0], [4, 0, 0])
    assert curve.survival.tolist() == [0, 0, 0]
    assert curve.std_error.tolist() == [0, 0, 0]


def test_malformed_counts_are_refused():
    with pytest.raises(InputError, match="5 deaths among 4 at risk at time 6"):
        kaplan_meier_from_counts([6], [5], [0], [4])
    with pytest.raises(InputError, match="The grid must ascend strictly"):
        kaplan_meier_from_counts([6, 6], [1, 1], [0, 0], [4, 3])
    with pytest.raises(InputError, match="no count may be negative"):
        kaplan_meier_from_counts([6], [0], [-1], [4])
    with pytest.raises(InputError, match=r"The deaths have shape \(1,\); 2 finite"):
        kaplan_meier_from_counts([6, 12], [0], [0, 0], [4, 4])


def assert_same_steps(curve, steps) -> None:
    for name in ("time", "at_risk", "survival"):
        np.testing.assert_allclose(getattr(curve, name), steps[name], rtol=1e-12)
    # R has no error where nobody is left; ours is 0
    alive = steps["survival"] > 0
    errors = curve.std_error[alive]
    np.testing.assert_allclose(errors, steps["std_error"][alive], rtol=1e-12)


@pytest.mark.parametrize("group", GROUPS)
def test_errors_bands_and_medians_equal_r(group: str):
    rows = of_r("rows").query("group == @group")
    curve = kaplan_meier(rows["time"], rows["cause"] == 1)
    steps = of_r("km").query("group == @group")
    assert_same_steps(curve, steps)
    lower, upper = curve.band()
    known = (steps["survival"] > 0) & (steps["survival"] < 1)
    np.testing.assert_allclose(lower[known], steps["lower"][known], rtol=1e-12)
    np.testing.assert_allclose(upper[known], steps["upper"][known], rtol=1e-12)
    median = of_r("means").set_index("group").loc[group].fillna(np.inf)
    assert curve.quantile() == median["median"]
    assert curve.quantile_interval() == (median["lower"], median["upper"])


def test_left_truncation_equals_r():
    rows, steps = of_r("rows"), of_r("entry")
    curve = kaplan_meier(rows["time"], rows["cause"] == 1, rows["entry"])
    assert_same_steps(curve, steps)


def test_the_ends_of_a_band_are_numbers():
    curve = kaplan_meier([1, 2, 3, 4], [0, 1, 1, 1])
    lower, upper = curve.band()
    assert (lower[0], upper[0]) == (1, 1)
    assert (lower[3], upper[3]) == (0, upper[2])
    everybody = kaplan_meier([1, 1], [1, 1]).band()
    assert [bound.tolist() for bound in everybody] == [[0], [1]]


def test_a_median_that_is_not_reached():
    curve = kaplan_meier([1, 2, 3, 4], [1, 0, 0, 0])
    assert curve.quantile() == np.inf
    assert curve.quantile(0.25) == 1
    assert curve.quantile_interval() == (1, np.inf)


def test_a_level_outside_is_refused():
    with pytest.raises(InputError, match="The confidence level is 95; it lies"):
        kaplan_meier([1], [1]).band(95)

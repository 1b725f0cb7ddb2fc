import numpy as np
import pytest
from lifelines.statistics import multivariate_logrank_test
from oracle_rows import codes, of_r

from fednb.errors import InputError
from fednb.survival.intervals import SurvivalRows, interval_counts
from fednb.survival.logrank import LogRankSums, logrank_sums, logrank_test


def compare(rows, cause=1, strata=None):
    strata = np.zeros(len(rows)) if strata is None else rows[strata]
    parts = []
    for _, part in rows.assign(stratum=strata).groupby("stratum"):
        group = np.searchsorted(["a", "b", "c"], part["group"])
        checked = SurvivalRows.of(part["time"], part["cause"], group)
        ends = np.unique(part["time"])
        found = interval_counts(checked, ends, groups=3, causes=2)
        parts.append(logrank_sums(found.deaths[cause - 1], found.at_risk))
    return logrank_test(sum(parts[1:], start=parts[0]))


def test_by_hand():
    # two groups; at 1 one of a dies among 2 + 2, at 2 one of b among 1 + 2
    sums = logrank_sums([[1, 0], [0, 1]], [[2, 1], [2, 2]])
    np.testing.assert_allclose(sums.excess, [1 - 1 / 2 - 1 / 3, -1 / 6])
    variance = 1 / 4 + 2 / 9
    np.testing.assert_allclose(
        sums.covariance, [[variance, -variance], [-variance, variance]]
    )
    assert logrank_test(sums).test_statistic == pytest.approx((1 / 6) ** 2 / variance)


@pytest.mark.parametrize(
    ("name", "cause", "strata"),
    [("plain", 1, None), ("by site", 1, "site"), ("other by site", 2, "site")],
)
def test_k_groups_equal_r(name: str, cause: int, strata: str | None):
    expected = of_r("logrank").set_index("name").loc[name, "chisq"]
    found = compare(of_r("rows"), cause, strata)
    assert found.test_statistic == pytest.approx(expected, rel=1e-12)
    assert found.degrees_freedom == 2


def test_two_groups_equal_r_and_lifelines():
    rows = of_r("rows").query("group != 'c'")
    found = compare(rows)
    oracle = of_r("logrank").set_index("name").loc["two groups", "chisq"]
    assert found.test_statistic == pytest.approx(oracle, rel=1e-12)
    theirs = multivariate_logrank_test(rows["time"], rows["group"], rows["cause"] == 1)
    assert found.p_value == pytest.approx(theirs.p_value, rel=1e-9)
    # c has nobody and is left out
    assert found.degrees_freedom == 1


def test_the_order_of_groups_does_not_matter():
    rows = of_r("rows")
    checked = SurvivalRows.of(rows["time"], rows["cause"], codes(rows["group"]))
    found = interval_counts(checked, np.unique(rows["time"]), groups=3)
    sums = logrank_sums(found.deaths[0], found.at_risk)
    turned = logrank_sums(found.deaths[0][::-1], found.at_risk[::-1])
    first, second = logrank_test(sums), logrank_test(turned)
    assert first.test_statistic == pytest.approx(second.test_statistic, rel=1e-12)


def test_a_group_that_is_alone_in_its_stratum_tells_nothing():
    here = logrank_sums([[1, 2], [1, 1]], [[9, 7], [8, 6]])
    alone = logrank_sums([[3, 2], [0, 0]], [[9, 6], [0, 0]])
    assert logrank_test(here + alone) == logrank_test(here)


@pytest.mark.parametrize(
    ("deaths", "at_risk"),
    [([[0, 0], [0, 0]], [[5, 4], [3, 3]]), ([[2, 1]], [[5, 3]])],
    ids=["no deaths", "one group"],
)
def test_nothing_to_compare(deaths, at_risk):
    found = logrank_test(logrank_sums(deaths, at_risk))
    assert (found.test_statistic, found.degrees_freedom, found.p_value) == (0, 0, 1)


def test_vectors_round_trip():
    sums = logrank_sums([[1, 0], [0, 1], [1, 1]], [[2, 1], [2, 2], [5, 3]])
    back = LogRankSums.from_vector(sums.to_vector(), 3)
    np.testing.assert_array_equal(back.excess, sums.excess)
    np.testing.assert_array_equal(back.covariance, sums.covariance)
    with pytest.raises(InputError, match="9 numbers are expected"):
        LogRankSums.from_vector(np.zeros(5), 3)


def test_more_deaths_than_patients_are_refused():
    with pytest.raises(InputError, match="no more deaths than patients at risk"):
        logrank_sums([[3.0]], [[2.0]])

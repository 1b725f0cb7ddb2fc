import warnings

import numpy as np
import pytest
from lifelines import AalenJohansenFitter
from oracle_rows import of_r

from fednb.errors import InputError
from fednb.survival.aalen_johansen import aalen_johansen
from fednb.survival.intervals import SurvivalRows, interval_counts
from fednb.survival.kaplan_meier import kaplan_meier


def of_rows(time, cause):
    ends = np.unique(time)
    found = interval_counts(SurvivalRows.of(time, cause), ends, causes=2)
    return aalen_johansen(ends, found.deaths[:, 0], found.at_risk[0])


def test_by_hand():
    # 4 at risk: cause 1 at 1, cause 2 at 2, censored at 3, cause 1 at 4
    found = of_rows([1, 2, 3, 4], [1, 2, 0, 1])
    np.testing.assert_allclose(found.incidence[0], [0.25, 0.25, 0.25, 0.75])
    np.testing.assert_allclose(found.incidence[1], [0, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(found.survival, [0.75, 0.5, 0.5, 0])


def test_ties_of_both_causes_equal_r():
    rows, expected = of_r("rows"), of_r("aj")
    found = of_rows(rows["time"], rows["cause"])
    np.testing.assert_allclose(found.incidence[0], expected["event"], atol=1e-14)
    np.testing.assert_allclose(found.incidence[1], expected["other"], atol=1e-14)
    np.testing.assert_allclose(found.survival, expected["none"], atol=1e-14)


@pytest.mark.parametrize("cause", [1, 2])
def test_errors_equal_lifelines_where_it_moves_no_tie(cause: int):
    rng = np.random.default_rng(3)
    time = rng.exponential(10, 90)
    causes = rng.choice([0, 1, 2], 90, p=[0.3, 0.5, 0.2])
    found = of_rows(time, causes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = AalenJohansenFitter(calculate_variance=True)
        oracle.fit(time, causes, event_of_interest=cause)
    expected = oracle.cumulative_density_.iloc[1:, 0]
    np.testing.assert_allclose(found.incidence[cause - 1], expected, atol=1e-12)
    variance = np.ravel(oracle.variance_)[1:]
    # lifelines has no number where the last one at risk leaves
    assert np.isfinite(variance[:-1]).all()
    ours = found.std_error[cause - 1][:-1] ** 2
    np.testing.assert_allclose(ours, variance[:-1], atol=1e-12)
    assert np.isfinite(found.std_error).all()


def test_with_one_cause_it_is_the_complement_of_the_survival_curve():
    rng = np.random.default_rng(5)
    time, event = rng.integers(1, 9, 40), rng.random(40) < 0.6
    found, curve = of_rows(time, event), kaplan_meier(time, event)
    np.testing.assert_allclose(found.incidence[0], 1 - curve.survival, atol=1e-12)
    before = curve.survival > 0
    errors = found.std_error[0][before]
    np.testing.assert_allclose(errors, curve.std_error[before], atol=1e-12)
    np.testing.assert_array_equal(found.incidence[1], 0)


def test_causes_of_other_patients():
    # a site shows the deaths of the first cause only: its patients count for that one
    found = aalen_johansen([1, 2], [[4, 2], [2, 1]], [[40, 30], [20, 15]])
    np.testing.assert_allclose(found.survival, [0.8, 0.8 * (1 - 2 / 30 - 1 / 15)])
    assert np.isfinite(found.std_error).all()


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"need the shape \(causes, 2\)"):
        aalen_johansen([1, 2], [1, 2], [4, 4])
    with pytest.raises(InputError, match="do not fit the deaths"):
        aalen_johansen([1, 2], [[1, 2]], [4])
    with pytest.raises(InputError, match="over the same patients"):
        aalen_johansen([1], [[3], [2]], [4])

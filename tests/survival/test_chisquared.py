import pytest
from scipy.stats import chi2

from fednb.errors import InputError
from fednb.survival.chisquared import chi_squared_tail


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 10, 31])
@pytest.mark.parametrize("statistic", [0.0, 1e-9, 0.3, 3.84, 20.0, 150.0, 700.0])
def test_tails_equal_scipy(df: int, statistic: float):
    expected = chi2.sf(statistic, df)
    assert chi_squared_tail(statistic, df) == pytest.approx(expected, rel=1e-11)


def test_nothing_to_test():
    assert chi_squared_tail(0.0, 0) == 1.0


def test_a_tail_of_no_number_is_refused():
    with pytest.raises(InputError, match="at least 0; got nan and 1"):
        chi_squared_tail(float("nan"), 1)

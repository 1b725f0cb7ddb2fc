import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from oracle_rows import GROUPS, of_r

from fednb.errors import InputError
from fednb.survival.kaplan_meier import kaplan_meier
from fednb.survival.rmst import restricted_mean


def test_by_hand():
    # 1 until 1, 2/3 until 3, 1/3 until 4
    found = restricted_mean(kaplan_meier([1, 3, 5], [1, 1, 1]), 4)
    assert found.value == pytest.approx(1 + 4 / 3 + 1 / 3)
    # areas beyond the steps: 5/3 and 1/3
    expected = (5 / 3) ** 2 / (3 * 2) + (1 / 3) ** 2 / (2 * 1)
    assert found.std_error == pytest.approx(expected**0.5)


@pytest.mark.parametrize("group", GROUPS)
def test_means_equal_r_and_lifelines(group: str):
    rows = of_r("rows").query("group == @group")
    expected = of_r("means").set_index("group").loc[group]
    found = restricted_mean(kaplan_meier(rows["time"], rows["cause"] == 1), 18)
    assert found.value == pytest.approx(expected["rmean"], rel=1e-12)
    assert found.std_error == pytest.approx(expected["se"], rel=1e-12)
    oracle = KaplanMeierFitter().fit(rows["time"], rows["cause"] == 1)
    theirs = restricted_mean_survival_time(oracle, 18)
    assert found.value == pytest.approx(theirs, rel=1e-9)


def test_beyond_the_last_death_of_all_nothing_is_added():
    curve = kaplan_meier([1, 2], [1, 1])
    assert restricted_mean(curve, 50).value == pytest.approx(1.5)


@pytest.mark.parametrize("horizon", [0, -1, 6, np.nan])
def test_a_horizon_outside_the_curve_is_refused(horizon: float):
    with pytest.raises(InputError, match="above 0 and up to 5, where the curve ends"):
        restricted_mean(kaplan_meier([1, 5], [1, 0]), horizon)

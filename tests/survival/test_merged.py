import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.survival.merged import Knots, at_risk_at, spread


def knots(*pairs):
    time, count = zip(*pairs, strict=True)
    return Knots(np.array(time, dtype=float), np.array(count, dtype=float))


def test_numbers_at_risk_fall_evenly_and_end():
    risk = knots((0, 40), (10, 20), (20, 0))
    assert at_risk_at(risk, [0, 5, 10, 15, 20, 25]).tolist() == [40, 30, 20, 10, 0, 0]


def test_deaths_go_where_patients_are_at_risk():
    # 40 down to 20: exposure 175 in the first half, 125 in the second
    deaths, risk = spread(knots((0, 40), (10, 20)), knots((0, 0), (10, 12)), [5, 10])
    assert risk.tolist() == [40, 30]
    np.testing.assert_allclose(deaths, [12 * 175 / 300, 12 * 125 / 300])


def test_at_the_ends_of_merged_intervals_nothing_is_moved():
    risk = knots((0, 90), (10, 60), (20, 20))
    died = knots((0, 0), (10, 20), (20, 40))
    deaths, at_risk = spread(risk, died, [10, 20])
    assert deaths.tolist() == [20, 20]
    assert at_risk.tolist() == [90, 60]


def test_intervals_beyond_the_knots_have_nobody():
    deaths, risk = spread(
        knots((10, 40), (30, 20)), knots((10, 0), (30, 10)), [5, 10, 20, 30, 40]
    )
    assert deaths[[0, 1, 4]].tolist() == [0, 0, 0]
    assert risk[[0, 1, 4]].tolist() == [0, 0, 0]
    assert deaths.sum() == pytest.approx(10)


def test_an_interval_that_passes_the_end_is_left_out():
    deaths, risk = spread(knots((0, 40), (12, 20)), knots((0, 0), (12, 10)), [10, 20])
    assert risk.tolist() == [40, 0]
    assert 0 < deaths[0] < 10
    assert deaths[1] == 0


def test_rounded_deaths_never_exceed_those_at_risk():
    deaths, risk = spread(knots((0, 10), (10, 0)), knots((0, 0), (10, 20)), [10])
    assert (deaths.tolist(), risk.tolist()) == ([10], [10])


@settings(max_examples=80)
@given(seed=st.integers(0, 10**6), parts=st.integers(1, 6))
def test_a_finer_grid_adds_up_to_a_coarser_one(seed: int, parts: int):
    rng = np.random.default_rng(seed)
    time = np.append(0.0, np.cumsum(rng.uniform(1, 9, parts)))
    count = np.sort(rng.integers(20, 90, parts + 1))[::-1]
    risk = Knots(time, count.astype(float))
    died = Knots(time[[0, -1]], np.array([0.0, 15.0]))
    coarse, _ = spread(risk, died, time[1:])
    fine_ends = np.unique(np.concatenate([time[1:], rng.uniform(0.1, time[-1], 9)]))
    fine, fine_risk = spread(risk, died, fine_ends)
    assert fine.sum() == pytest.approx(15)
    groups = np.searchsorted(time[1:], fine_ends)
    np.testing.assert_allclose(np.bincount(groups, fine), coarse, atol=1e-9)
    # of equal lengths, the hazard is the same in every interval of the merged one
    assert (fine <= fine_risk).all()

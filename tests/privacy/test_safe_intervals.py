import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.privacy.intervals import merged_ends, safe_at_risk, safe_deaths, usable
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD

EDGES = np.arange(0.0, 70, 10)


def counted(exits: list[int], beyond: int):
    """Return exits and numbers at risk of a group without late entries."""
    leaving = np.array(exits)
    return leaving, leaving[::-1].cumsum()[::-1] + beyond


def test_intervals_are_merged_until_each_holds_enough():
    assert merged_ends([4, 6, 12, 3, 8], 10) == (2, 3, 5)
    # what is left at the end joins the last one
    assert merged_ends([10, 9], 10) == (2,)
    assert merged_ends([4, 5], 10) == ()
    assert merged_ends([], 10) == ()


def test_a_curve_is_cut_where_few_are_at_risk():
    assert usable([30, 12, 10, 9, 4], STANDARD) == slice(0, 3)
    # late entries: it begins where enough have entered
    assert usable([3, 12, 14, 8, 11], STANDARD) == slice(1, 3)
    assert usable([9, 9], STANDARD) == slice(0, 0)


def test_deaths_by_hand():
    _, risk = counted([6, 9, 13, 8, 7, 2], 0)
    safe = safe_deaths(EDGES, risk, np.array([4, 7, 12, 3, 1, 0]), STANDARD)
    # 9 are at risk from 40 on: cut there; 4 + 7 deaths, then 12 + 3
    assert safe.value.time.tolist() == [0, 20, 40]
    # 11 and 26, rounded
    assert safe.value.count.tolist() == [0, 10, 30]
    assert all(decision.allow for decision in safe.decisions)


def test_numbers_at_risk_by_hand():
    exits, risk = counted([6, 9, 13, 8, 7, 2], 0)
    safe = safe_at_risk(EDGES, risk, exits, STANDARD)
    # 45, 30 after 15 left; after 13 more only 8 are left to leave before the cut
    assert safe.value.time.tolist() == [0, 20, 40]
    assert safe.value.count.tolist() == [50, 30, 0]


def test_who_stays_under_observation_is_at_risk_at_the_end():
    exits, risk = counted([6, 9], 40)
    safe = safe_at_risk(EDGES[:3], risk, exits, STANDARD)
    assert safe.value.time.tolist() == [0, 20]
    assert safe.value.count.tolist() == [60, 40]


def test_times_of_a_few_who_leave_are_not_told():
    early, late = (counted(exits, 40) for exits in ([3, 0], [0, 3]))
    first, second = (
        safe_at_risk(EDGES[:3], risk, exits, STANDARD).value
        for exits, risk in (early, late)
    )
    assert first.count.tolist() == second.count.tolist() == [40, 40]
    assert first.time.tolist() == second.time.tolist()


def test_no_deaths_and_few_look_the_same():
    _, risk = counted([20, 20], 20)
    none = safe_deaths(EDGES[:3], risk, np.array([0, 0]), STANDARD)
    few = safe_deaths(EDGES[:3], risk, np.array([4, 5]), STANDARD)
    assert none == few
    assert none.value is None


def test_rare_disease_rounds_to_midpoints():
    _, risk = counted([8, 8, 8], 10)
    safe = safe_deaths(EDGES[:4], risk, np.array([4, 4, 7]), RARE_DISEASE)
    # 8 and 15 so far: the middles of 7 to 12 and of 13 to 18
    assert safe.value.count.tolist() == [0, 9, 15]


def test_the_open_profile_merges_and_rounds_nothing():
    exits, risk = counted([6, 1, 13], 3)
    deaths = np.array([2, 1, 5])
    assert safe_deaths(EDGES[:4], risk, deaths, OPEN).value.count.tolist() == [
        0,
        2,
        3,
        8,
    ]
    assert safe_at_risk(EDGES[:4], risk, exits, OPEN).value.count.tolist() == [
        23,
        17,
        16,
        3,
    ]


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 30))
@pytest.mark.parametrize("profile", [STANDARD, RARE_DISEASE])
def test_what_leaves_stands_on_enough_patients(profile, seed: int, steps: int):
    rng = np.random.default_rng(seed)
    exits = rng.poisson(rng.uniform(0, 8), steps)
    risk = exits[::-1].cumsum()[::-1] + rng.integers(0, 30)
    deaths = rng.binomial(exits, 0.6)
    edges = np.arange(steps + 1.0)
    kept = usable(risk, profile)
    for counts, safe in (
        (deaths, safe_deaths(edges, risk, deaths, profile).value),
        (exits, safe_at_risk(edges, risk, exits, profile).value),
    ):
        if safe is None:
            continue
        places = safe.time.astype(int)
        assert places[0] == kept.start
        assert places[-1] == kept.stop
        shown = safe.count[safe.count > 0]
        assert (shown >= profile.threshold - 1).all()
        if counts[kept].sum() < profile.threshold:
            assert counts is exits
            assert safe.count.tolist() == [safe.count[0]] * 2
            continue
        for low, high in itertools.pairwise(places):
            assert counts[low:high].sum() >= profile.threshold
        assert np.abs(safe.count - _exact(counts, risk, places, deaths)).max() < 10


def _exact(counts, risk, places, deaths):
    """Return the counts that a rounded one stands for, at each place."""
    if counts is deaths:
        so_far = np.append(0, deaths.cumsum())
        return so_far[places] - so_far[places[0]]
    after = risk[-1] - counts[-1]
    return np.append(risk, after)[places]

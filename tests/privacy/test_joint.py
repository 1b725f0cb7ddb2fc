"""Merged cells: what is shown stands for the threshold of patients, or for nobody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fednb.privacy import joint
from fednb.privacy.joint import held, merged_places, safe_joint, tail_end
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.rounding import round_count

COUNTS = arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 12))


@given(counts=COUNTS)
def test_between_merged_places_lies_the_threshold(counts):
    kept = merged_places(counts, STANDARD)
    assert (kept[0], kept[-1]) == (0, len(counts))
    inside = np.add.reduceat(counts, kept[:-1])
    assert len(kept) == 2 or inside.min() >= STANDARD.threshold


def test_merged_places_by_hand():
    counts = np.array([4.0, 8.0, 3.0, 2.0, 9.0, 1.0])
    # 12 in the first two, 15 in the rest
    assert merged_places(counts, STANDARD).tolist() == [0, 2, 6]
    # along time the end is not told: the last interval is as wide as the one before
    assert tail_end(np.array([0, 2, 6])) == 4


def test_fewer_than_the_threshold_look_like_nobody():
    table = np.zeros((2, 4, 3))
    table[1, 2, 1] = 9
    assert not safe_joint(table, STANDARD)[1].any()


def _random_table(seed: int, n: int):
    rng = np.random.default_rng(seed)
    table = np.zeros((2, 12, 6))
    time = np.minimum(rng.gamma(2.0, 2.0, n).astype(int), 11)
    where = (rng.integers(0, 2, n), time, rng.integers(0, 6, n))
    np.add.at(table, where, 1.0)
    return table


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(30, 200))
def test_a_joint_table_has_the_rounded_count_and_nearly_the_means(seed, n):
    table = _random_table(seed, n)
    shown = safe_joint(table, STANDARD)
    assert np.isfinite(shown).all()
    assert shown.min() >= 0
    for event in (0, 1):
        count = round_count(int(table[event].sum()), STANDARD)
        assert shown[event].sum() == pytest.approx(count)
        for axis in (0, 1):
            if count:
                own = _mean(table[event].sum(axis=axis))
                assert _mean(shown[event].sum(axis=axis)) == pytest.approx(own, abs=0.3)


def _mean(counts) -> float:
    return float(counts @ np.arange(counts.size) / counts.sum())


@pytest.mark.parametrize("profile", [STANDARD, RARE_DISEASE])
def test_a_joint_table_tells_rounded_numbers_only(profile, monkeypatch):
    """Its only sources are counts, means and spreads as the rules let them leave."""
    seen = []
    exact = joint.safe_mean

    def watched(values, unit, rules):
        found = exact(values, unit, rules)
        seen.append((len(values), found.value))
        return found

    monkeypatch.setattr(joint, "safe_mean", watched)
    safe_joint(_random_table(3, 60), profile)
    assert len(seen) == 6
    for count, value in seen:
        assert count >= profile.threshold
        assert value is None or value == pytest.approx(round(value, 1), abs=1e-12)


def test_a_joint_table_follows_the_dependence_of_its_patients():
    rng = np.random.default_rng(5)
    normal = rng.multivariate_normal([0, 0], [[1, -0.6], [-0.6, 1]], 300)
    cells = np.clip(np.rint(2 * normal + 5), 0, 10).astype(int)
    table = np.zeros((2, 11, 11))
    np.add.at(table, (1, cells[:, 0], cells[:, 1]), 1.0)
    shown = safe_joint(table, STANDARD)[1]
    row, column = (np.repeat(np.arange(11.0), 11), np.tile(np.arange(11.0), 11))
    found = np.cov(row, column, aweights=shown.ravel())
    correlation = found[0, 1] / np.sqrt(found[0, 0] * found[1, 1])
    assert correlation == pytest.approx(np.corrcoef(cells.T)[0, 1], abs=0.07)


def test_a_site_of_one_level_of_risk_shows_it():
    table = np.zeros((2, 5, 4))
    table[1, :, 2] = 20
    shown = safe_joint(table, STANDARD)[1]
    assert shown.sum() == pytest.approx(100)
    assert shown[:, 2].sum() > 90


def test_one_patient_more_or_less_within_a_box_shows_nothing():
    table = np.full((2, 2, 2), 40.0)
    other = table.copy()
    other[0, 0, 0] += 1  # 41 rounds as 40 does, and so do all sums of it
    np.testing.assert_allclose(safe_joint(table, STANDARD), safe_joint(other, STANDARD))


def test_a_running_sum_is_linear_between_merged_places():
    counts = np.array([4.0, 8.0, 3.0, 2.0, 9.0, 1.0])
    sums = np.array([0.0, 1.0, 6.0, 7.0, 7.0, 9.0, 10.0])
    found = held(sums, counts, STANDARD)
    np.testing.assert_allclose(found, [0.0, 3.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    # along time the last merged interval is as wide as the one before it
    found = held(sums, counts, STANDARD, time=True)
    np.testing.assert_allclose(found, [0.0, 3.0, 6.0, 8.0, 10.0, 10.0, 10.0])


def test_the_open_profile_shows_everything():
    table = np.random.default_rng(0).integers(0, 3, (2, 5, 4)).astype(float)
    np.testing.assert_array_equal(safe_joint(table, OPEN), table)
    np.testing.assert_array_equal(held(table[0, :, 0], table[1], OPEN), table[0, :, 0])

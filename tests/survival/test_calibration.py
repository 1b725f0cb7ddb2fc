"""Groups of risk: their size, and what is observed in them."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.survival.calibration import class_groups, merge_bins, survival_groups
from fednb.survival.kaplan_meier import kaplan_meier
from fednb.survival.pooled_concordance import joint_table


def test_bins_are_merged_until_groups_are_large_enough():
    counts = np.array([3.0, 4.0, 5.0, 12.0, 2.0, 2.0, 9.0, 3.0])
    groups = merge_bins(counts, 10, 10)
    sizes = np.bincount(groups, weights=counts)
    assert groups.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert sizes.tolist() == [12.0, 12.0, 16.0]


@pytest.mark.parametrize("groups", [4, 10])
def test_no_group_falls_below_the_least(groups):
    rng = np.random.default_rng(1)
    for _ in range(50):
        counts = rng.integers(0, 15, 20).astype(float)
        if counts.sum() < 10:
            continue
        found = merge_bins(counts, groups, 10)
        assert np.bincount(found, weights=counts).min() >= 10
        assert (np.diff(found) >= 0).all()


def test_observed_deaths_are_kaplan_meiers_of_the_group():
    rng = np.random.default_rng(2)
    time, event = rng.integers(0, 9, 200), rng.integers(0, 2, 200)
    bins = rng.integers(0, 4, 200)
    table = joint_table(time, event, bins, (9, 4))
    groups = np.array([0, 0, 1, 1])
    found = survival_groups(table, np.full(4, 5.0), 5, groups)
    for group in (0, 1):
        inside = groups[bins] == group
        curve = kaplan_meier(time[inside], event[inside])
        assert found.observed[group] == pytest.approx(1 - curve.at(5), abs=1e-12)
        place = np.flatnonzero(curve.time <= 5)[-1]
        assert found.std_error[group] == pytest.approx(curve.std_error[place])
        assert found.predicted[group] == pytest.approx(10 / inside.sum())


def test_classes_are_counted():
    table = np.array([[6.0, 2.0, 1.0], [2.0, 2.0, 3.0]])
    found = class_groups(table, np.array([2.0, 2.0, 3.0]), np.array([0, 1, 1]))
    assert found.n.tolist() == [8.0, 8.0]
    assert found.observed.tolist() == [0.25, 0.625]
    assert found.predicted.tolist() == [0.25, 0.625]

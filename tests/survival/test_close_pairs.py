"""Pairs of one interval, against loops over patients."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fednb.survival.close_pairs import (
    PHASES,
    apart_bin_pairs,
    close_kernel,
    close_pairs,
    credited,
)
from fednb.survival.pooled_concordance import joint_table

GRID = np.array([2.0, 4.0, 8.0, 12.0])


@pytest.fixture
def rows():
    rng = np.random.default_rng(4)
    # some leave where an interval of a phase ends: they belong to what ends there
    ends = np.array([1.5, 2.0, 3.5, 4.0, 5.0, 8.0, 11.0, 12.0])
    late = np.full(5, np.nextafter(12, 13))
    time = np.concatenate([rng.uniform(0, 12, 30), ends, late])
    event = np.concatenate([rng.integers(0, 2, 38), np.zeros(5, dtype=int)])
    return time, event, rng.integers(0, 6, 43).astype(float)


def _pairs(rows, cell):
    """Count pairs with one cell, of two deaths and of a death and a censoring."""
    found = np.zeros((2, 3))
    for i, j in combinations(range(len(cell)), 2):
        one, two = sorted((i, j), key=lambda k: (rows[0][k], -rows[1][k]))
        if cell[i] != cell[j] or not (rows[1][i] or rows[1][j]):
            continue
        kind = 0 if rows[1][i] and rows[1][j] else 1
        found[kind, 2] += 1
        if rows[1][one]:
            ahead = rows[2][one] - rows[2][two]
            found[kind, :2] += (0.5 + 0.5 * np.sign(ahead), 1)
    return found


def test_pairs_of_one_interval_are_those_of_each_phase(rows):
    starts = np.array([0.0, 2.0, 4.0, 8.0])
    expected = np.zeros((2, 3))
    for phase in range(PHASES):
        edges = [*(GRID - (GRID - starts) * phase / PHASES), 12.0]
        expected += _pairs(rows, np.searchsorted(edges, rows[0]))
    found = close_pairs(*rows, GRID)
    np.testing.assert_allclose(found.reshape(2, 3), expected)


def test_the_kernel_counts_pairs_across_two_tables(rows):
    interval, bins = np.searchsorted(GRID, rows[0]), rows[2].astype(int)
    table = joint_table(interval, rows[1], bins, (5, 6))
    within = _pairs(rows, interval)[:, 2]
    twice = close_kernel(table, table)
    deaths = rows[1].sum()
    # a table with itself has every pair of two deaths twice, and each with itself
    assert twice[0] == pytest.approx(within[0] + deaths / 2)
    assert twice[1] == pytest.approx(within[1])


def test_pairs_of_one_bin_in_one_interval_are_left_out(rows):
    interval, bins = np.searchsorted(GRID, rows[0]), rows[2].astype(int) // 2
    found = apart_bin_pairs(*rows, bins, interval)
    every = _pairs(rows, bins).sum(axis=0)
    together = _pairs(rows, bins * 10 + interval).sum(axis=0)
    np.testing.assert_allclose(found, (every - together)[:2])


def test_pairs_across_sites_are_credited_as_those_within():
    close = np.array([100.0, 40.0, 6.0, 8.0, 10.0, 3.0, 5.0, 10.0])
    agreeing, comparable = credited(close)
    assert agreeing == pytest.approx(60 + 12)
    assert comparable == pytest.approx(80 + 20)


def test_pairs_of_which_no_site_has_one_are_left_out():
    assert credited(np.array([5.0, 5.0, 0, 0, 0, 0, 0, 0])) == (0.0, 0.0)

"""The smoothest table: known distributions of largest entropy."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.privacy.max_entropy import coupled, smoothest

CELLS = np.arange(40.0)


def test_nothing_known_is_even():
    share = smoothest(np.zeros((0, 5)), np.zeros(0), np.zeros(0))
    np.testing.assert_allclose(share, 0.2)


def test_a_mean_gives_a_geometric_distribution():
    share = smoothest((CELLS / 10)[None], np.array([0.5]), np.zeros(1))
    assert share @ CELLS == pytest.approx(5.0, abs=1e-3)
    ratios = share[1:] / share[:-1]
    np.testing.assert_allclose(ratios, ratios[0])


@pytest.mark.parametrize("mean", [0.02, 38.9])
def test_a_mean_at_an_end_is_met_where_whole_steps_would_overshoot(mean):
    share = smoothest((CELLS / 4)[None], np.array([mean / 4]), np.zeros(1))
    assert share @ CELLS == pytest.approx(mean, abs=1e-3)
    assert share.sum() == pytest.approx(1)


def test_a_mean_and_a_spread_give_a_normal_distribution():
    units = (CELLS - 20) / 4
    features = np.stack([units, units**2])
    share = smoothest(features, np.array([0.0, 1.0]), np.zeros(2))
    density = np.exp(-(units**2) / 2)
    np.testing.assert_allclose(share, density / density.sum(), atol=1e-5)


def test_two_groups_far_apart_are_met_where_whole_steps_would_diverge():
    units = (CELLS - 20) / 4
    features = np.stack([CELLS < 5, units, units**2]).astype(float)
    wanted = 0.9 * features[:, 2] + 0.1 * features[:, 30]
    share = smoothest(features, wanted, np.full(3, 1e-4))
    np.testing.assert_allclose(features @ share, wanted, atol=2e-3)


def test_a_sum_with_slack_gives_way_to_one_without():
    features = np.stack([CELLS < 20, CELLS < 20]).astype(float)
    share = smoothest(features, np.array([0.3, 0.6]), np.array([1.0, 1e-4]))
    assert share[:20].sum() == pytest.approx(0.6, abs=1e-3)


def test_sums_that_no_table_has_are_met_as_far_as_they_can_be():
    features = np.stack([CELLS < 20, CELLS >= 20]).astype(float)
    share = smoothest(features, np.array([0.9, 0.9]), np.array([0.1, 0.1]))
    assert share[:20].sum() == pytest.approx(0.5)


@pytest.mark.parametrize("wanted", [-0.4, 0.8])
def test_a_coupled_table_has_margins_and_correlation(wanted):
    density = np.exp(-(((CELLS - 20) / 5) ** 2) / 2)
    rows, columns = 100 * density / density.sum(), np.full(40, 2.5)
    table = coupled(rows, columns, wanted)
    np.testing.assert_allclose(table.sum(axis=1), rows, atol=1e-6)
    np.testing.assert_allclose(table.sum(axis=0), columns, atol=1e-3)
    one = (CELLS - 20) / 5
    two = (CELLS - CELLS.mean()) / CELLS.std()
    spread = np.sqrt(rows @ one**2 / 100)
    assert one @ table @ two / 100 / spread == pytest.approx(wanted, abs=1e-3)


def test_margins_with_long_tails_are_coupled_too():
    margin = np.array([90.0, *np.ones(10), 5.0])
    table = coupled(margin, margin, 0.9)
    units = np.arange(12.0) - np.average(np.arange(12.0), weights=margin)
    spread = units**2 @ margin
    assert units @ table @ units / spread == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(table.sum(axis=0), margin, atol=0.02)


def test_a_margin_of_one_cell_leaves_nothing_to_couple():
    table = coupled(np.array([30.0]), np.array([10.0, 20.0]), 0.5)
    np.testing.assert_allclose(table, [[10.0, 20.0]])


def test_nobody_is_nobody():
    assert not coupled(np.zeros(3), np.zeros(2), 0.5).any()

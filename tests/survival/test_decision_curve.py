"""Net benefit against its definition."""

from __future__ import annotations

import numpy as np

from fednb.survival.decision_curve import (
    cells_between,
    net_benefit,
    threshold_cells,
)


def test_net_benefit_is_its_definition_and_adds_up_over_sites():
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=300)
    label = (rng.uniform(size=300) < chance).astype(float)
    edges = np.array([0.1, 0.25, 0.5, 0.8])
    cells = threshold_cells(chance[:120], label[:120], edges)
    cells = cells + threshold_cells(chance[120:], label[120:], edges)
    model, everybody = net_benefit(cells, edges)
    for i, p in enumerate(edges):
        treated = chance >= p
        gain = np.mean(treated & (label == 1))
        cost = np.mean(treated & (label == 0)) * p / (1 - p)
        np.testing.assert_allclose(model[i], gain - cost, atol=1e-12)
        share = label.mean()
        np.testing.assert_allclose(everybody[i], share - (1 - share) * p / (1 - p))


def test_a_probability_at_the_threshold_is_treated():
    cells = threshold_cells([0.5], [1], [0.5])
    assert cells.tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert net_benefit(cells, [0.5])[0].tolist() == [1.0]


def test_counts_between_thresholds_are_read_off_bins():
    """Bins of equal shares of a normal curve: edges of both kinds meet here."""
    by_bin = np.array([[40.0, 30.0, 20.0, 10.0], [1.0, 2.0, 3.0, 4.0]])
    # the quartiles of a normal curve with mean 0.5 and deviation 2, as chances
    score = 0.5 + 2 * np.array([-0.6744897501960817, 0.0, 0.6744897501960817])
    edges = 1 / (1 + np.exp(-score))
    np.testing.assert_allclose(cells_between(by_bin, edges, 0.5, 2.0), by_bin)
    half = cells_between(by_bin, edges[1:2], 0.5, 2.0)
    np.testing.assert_allclose(half, [[70, 30], [3, 7]])


def test_without_patients_there_is_no_benefit():
    model, everybody = net_benefit(np.zeros((2, 3)), [0.2, 0.6])
    assert np.isnan([*model, *everybody]).all()

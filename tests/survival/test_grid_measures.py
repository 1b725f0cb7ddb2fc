"""Uno's C, AUC over time and Brier scores against scikit-survival, on pooled rows."""

from __future__ import annotations

import numpy as np
import pytest
from sksurv.metrics import (
    brier_score,
    concordance_index_ipcw,
    cumulative_dynamic_auc,
    integrated_brier_score,
)
from sksurv.util import Surv

from fednb.survival.brier import brier_sums, integrated, null_brier
from fednb.survival.censoring import grid_curves, intervals_of
from fednb.survival.pairs import two_sample_pairs
from fednb.survival.time_auc import auc_weights, mean_auc
from fednb.survival.uno import uno_pairs, uno_weights

GRID = np.arange(1.0, 61.0)


@pytest.fixture(scope="module")
def rows():
    """Patients whose deaths and censorings never fall on one time: no convention."""
    rng = np.random.default_rng(5)
    n = 400
    risk = rng.normal(size=n)
    death = 2 * np.ceil(rng.exponential(20 * np.exp(-risk))) - 1
    censored = 2 * np.ceil(rng.uniform(2, 40, n))
    time, event = np.minimum(death, censored), (death < censored).astype(int)
    return time, event, risk


@pytest.fixture(scope="module")
def curves(rows):
    time, event, _ = rows
    interval = intervals_of(time, GRID)
    deaths = np.bincount(interval[event == 1], minlength=61)
    left = np.bincount(interval[event == 0], minlength=61)
    return grid_curves(deaths, left)


def outcome(rows):
    return Surv.from_arrays(rows[1].astype(bool), rows[0])


def test_unos_c_is_scikit_survivals(rows, curves):
    time, event, risk = rows
    tau = 50.0
    weight = uno_weights(curves, int(tau) - 1)  # their horizon is open on the right
    found = uno_pairs(intervals_of(time, GRID), event, risk, weight)
    theirs = concordance_index_ipcw(outcome(rows), outcome(rows), risk, tau=tau)
    assert found.index == pytest.approx(theirs[0], abs=1e-9)


def test_the_auc_over_time_is_scikit_survivals(rows, curves):
    time, event, risk = rows
    at = [9, 19, 39]
    interval = intervals_of(time, GRID)
    found = np.array(
        [
            two_sample_pairs(*auc_weights(t, interval, event, curves), risk).index
            for t in at
        ]
    )
    theirs, mean = cumulative_dynamic_auc(outcome(rows), outcome(rows), risk, GRID[at])
    np.testing.assert_allclose(found, theirs, atol=1e-9)
    assert mean_auc(found, curves.survival[at]) == pytest.approx(mean, abs=1e-9)


def test_brier_scores_are_scikit_survivals(rows, curves):
    time, event, risk = rows
    hazard = 0.02 * GRID
    at = np.arange(4, 50)
    sums = brier_sums(risk, hazard, intervals_of(time, GRID), event, curves)
    predicted = np.exp(-np.outer(np.exp(risk), hazard))[:, at]
    theirs = brier_score(outcome(rows), outcome(rows), predicted, GRID[at])[1]
    np.testing.assert_allclose(sums[at] / len(time), theirs, atol=1e-9)
    whole = integrated_brier_score(outcome(rows), outcome(rows), predicted, GRID[at])
    mine = integrated(GRID[at], sums[at] / len(time))
    assert mine == pytest.approx(whole, abs=1e-9)


def test_the_reference_is_kaplan_meiers_curve_for_everybody(rows, curves):
    time = rows[0]
    interval = intervals_of(time, GRID)
    beyond = np.array([(interval > j).sum() for j in range(60)])
    at = np.arange(4, 50)
    same = np.broadcast_to(curves.survival[at], (len(time), len(at)))
    theirs = brier_score(outcome(rows), outcome(rows), same, GRID[at])[1]
    found = null_brier(curves, curves.deaths, beyond) / len(time)
    np.testing.assert_allclose(found[at], theirs, atol=1e-9)


def test_deaths_come_before_censorings_in_an_interval():
    # ten at risk: 2 die, 3 are censored; then 1 dies, 4 are censored beyond the grid
    curves = grid_curves([2, 1, 0], [3, 0, 4])
    assert curves.at_risk.tolist() == [10.0, 5.0]
    np.testing.assert_allclose(curves.survival, [0.8, 0.64])
    np.testing.assert_allclose(curves.uncensored, [1.0, 5 / 8, 5 / 8])
    np.testing.assert_allclose(curves.death_weight, [1.0, 1.6, 0.0])
    assert intervals_of([0.0, 1.0, 1.5, 9.0], [1.0, 2.0]).tolist() == [0, 0, 1, 2]


def test_a_mean_over_one_time_does_not_exist():
    assert np.isnan(integrated([3.0], [0.2]))
    assert np.isnan(mean_auc(np.array([0.7]), np.array([1.0])))

"""Robust errors: score residuals as derivatives, and lifelines' sandwich."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from fednb.errors import InputError
from fednb.survival.coxph import fit
from fednb.survival.moments import column_moments, combine
from fednb.survival.riskset import RiskSets
from fednb.survival.sandwich import meat_vector, sandwich

EXACT = {"precision": 1e-13}


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("late", [False, True])
def test_a_residual_is_the_derivative_of_the_score_by_a_weight(ties, late):
    # Efron's mean weight and downweighted deaths count too: ties are many here
    rng = np.random.default_rng(1)
    n = 40
    x = rng.normal(size=(n, 2))
    time = rng.integers(2, 7, n).astype(float)
    event = rng.integers(0, 2, n)
    weights = rng.uniform(0.5, 2.0, n)
    strata = rng.integers(0, 2, n)
    entry = time - rng.integers(1, 4, n) if late else None
    beta = np.array([0.4, -0.7])

    def score(w):
        sets = RiskSets(x, time, event, entry=entry, weights=w, strata=strata)
        return sets.sums(beta, ties).score

    h = 1e-6
    derivatives = np.array(
        [
            weights[i] * (score(weights + h * (np.arange(n) == i)) - score(weights)) / h
            for i in range(n)
        ]
    )
    sets = RiskSets(x, time, event, entry=entry, weights=weights, strata=strata)
    ours = sets.residuals(beta, ties)
    np.testing.assert_allclose(ours.T @ ours, derivatives.T @ derivatives, rtol=1e-4)
    np.testing.assert_allclose(ours.sum(axis=0), derivatives.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalizer", [0.0, 0.1])
def test_robust_errors_are_those_of_lifelines_without_ties(weighted, penalizer):
    # with ties lifelines' residuals depend on the order of the rows
    table = load_rossi()
    rng = np.random.default_rng(0)
    table = table.assign(week=table["week"] + rng.permutation(len(table)) * 1e-4)
    names = [c for c in table if c not in {"week", "arrest"}]
    weights = 1 + np.arange(len(table)) % 3 if weighted else np.ones(len(table))
    scale = combine([column_moments(table[names].to_numpy(float))])
    z = scale.apply(table[names])
    sets = RiskSets(z, table["week"], table["arrest"], weights=weights)
    theirs = CoxPHFitter(penalizer=penalizer).fit(
        table.assign(w=weights),
        "week",
        "arrest",
        weights_col="w",
        robust=True,
        fit_options=EXACT,
    )
    beta = theirs.params_.to_numpy() * scale.std
    bread = theirs.variance_matrix_.to_numpy() * np.outer(scale.std, scale.std)
    found = sandwich(bread, meat_vector(sets.residuals(beta)))
    errors = np.sqrt(np.diagonal(found)) / scale.std
    np.testing.assert_allclose(errors, theirs.standard_errors_, atol=1e-8)


def test_a_site_without_events_adds_nothing():
    sets = RiskSets(np.ones((3, 2)), [1, 2, 3], [0, 0, 0])
    assert sets.residuals([0.0, 0.0]).shape == (0, 2)
    assert not meat_vector(sets.residuals([0.0, 0.0])).any()


def test_products_are_rounded_and_must_fit():
    vector = meat_vector(np.array([[0.5, -0.31]]), 0.1)
    np.testing.assert_allclose(vector, [0.2, -0.2, 0.1])
    with pytest.raises(InputError, match=r"do not fit 3 columns"):
        sandwich(np.eye(3), vector)


def test_robust_and_model_errors_agree_where_the_model_holds():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4000, 1))
    time = rng.exponential(np.exp(-0.5 * x[:, 0]))
    sets = RiskSets(x, time, np.ones(4000))
    found = fit([sets])
    robust = sandwich(found.covariance, meat_vector(sets.residuals(found.coefficients)))
    assert robust[0, 0] == pytest.approx(found.covariance[0, 0], rel=0.1)

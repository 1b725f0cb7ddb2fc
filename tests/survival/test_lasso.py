"""The elastic net against its conditions, coxnet, and lifelines' smoothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from fednb.survival.coxph import fit
from fednb.survival.lasso import proximal_step
from fednb.survival.moments import column_moments, combine
from fednb.survival.newton import NewtonOptions
from fednb.survival.riskset import RiskSets
from fednb.survival.wald import wald_table


def rossi():
    table = load_rossi()
    # no ties: coxnet knows Breslow's only
    week = table["week"] + np.random.default_rng(0).permutation(len(table)) * 1e-4
    table = table.assign(week=week)
    names = [c for c in table if c not in {"week", "arrest"}]
    x = table[names].to_numpy(float)
    z = combine([column_moments(x)]).apply(x)
    return table, names, z, RiskSets(z, table["week"], table["arrest"])


def elastic(penalizer: float, ratio: float, n: int) -> NewtonOptions:
    return NewtonOptions(ridge=penalizer * (1 - ratio) * n, lasso=penalizer * ratio * n)


@pytest.mark.parametrize("penalizer", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_the_optimum_meets_its_conditions_and_is_coxnets(penalizer, ratio):
    table, _, z, sets = rossi()
    n = len(table)
    options = elastic(penalizer, ratio, n)
    found = fit([sets], options)
    b = found.coefficients
    slope = sets.sums(b).score - options.penalty(b.size) * b
    limit = penalizer * ratio * n
    held = b == 0
    assert (np.abs(slope[held]) <= limit * (1 + 1e-9)).all()
    np.testing.assert_allclose(slope[~held], limit * np.sign(b[~held]), rtol=1e-6)
    assert 0 < held.sum() < b.size or penalizer * ratio < 0.01
    assert found.evaluations <= 12
    outcome = Surv.from_arrays(table["arrest"] == 1, table["week"])
    # coxnet divides the likelihood by n and has no other scale
    theirs = CoxnetSurvivalAnalysis(
        l1_ratio=ratio, alphas=[penalizer], tol=1e-14, max_iter=10**6
    )
    theirs.fit(z, outcome)
    np.testing.assert_allclose(b, theirs.coef_[:, 0], atol=1e-6)


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_lifelines_smoothing_comes_near(ratio):
    table, names, _, sets = rossi()
    scale = table[names].std().to_numpy()
    found = fit([sets], elastic(0.02, ratio, len(table)))
    theirs = CoxPHFitter(penalizer=0.02, l1_ratio=ratio)
    theirs.fit(table, "week", "arrest", fit_options={"precision": 1e-12})
    gap = np.abs(found.coefficients - theirs.params_.to_numpy() * scale)
    # |b| is off by up to 2 log 2 / 1.3^steps in lifelines
    assert gap.max() < 2e-3


def test_coefficients_at_zero_have_a_documented_row():
    table, names, _, sets = rossi()
    found = fit([sets], elastic(0.05, 1.0, len(table)), names)
    held = found.coefficients == 0
    assert held.any()
    columns = wald_table(names, found.coefficients, found.covariance).columns
    assert (columns["se(coef)"][held] == 0).all()
    assert (columns["p"][held] == 1).all()
    assert all(np.isfinite(values).all() for values in columns.values())


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.floats(0.0, 30.0), p=st.integers(1, 7))
def test_a_step_ends_where_the_penalised_model_is_least(seed, size, p):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(p, p + 3))
    matrix, gradient = root @ root.T, rng.normal(size=p) * 5
    beta, lasso = rng.normal(size=p), np.full(p, size)
    lasso[0] = 0.0
    end = beta + proximal_step(matrix, gradient, beta, lasso)

    def model(point):
        gap = point - beta
        return 0.5 * gap @ matrix @ gap - gradient @ gap + lasso @ np.abs(point)

    for _ in range(20):
        other = end + rng.normal(size=p) * 10.0 ** rng.uniform(-6, 0)
        assert model(end) <= model(other) + 1e-9

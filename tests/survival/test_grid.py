"""Pooling on a time grid, against lifelines on pooled rows with gridded times."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import load_lung, load_rossi, load_stanford_heart_transplants
from pooled_rows import gridded

from fednb.errors import FitError, InputError
from fednb.survival.coxph import CoxEstimate, estimate
from fednb.survival.grid import GridRows, GridTotals, Survival, baseline, grid_length
from fednb.survival.moments import column_moments, combine
from fednb.survival.newton import NewtonOptions, maximise
from fednb.survival.riskset import RiskSets

EXACT = {"precision": 1e-13}


def fit(sites: list[GridRows], ties: str = "efron", ridge: float = 0.0):
    """Fit over sites as the protocol does: totals, then one likelihood of them."""
    deaths = np.rint(sum(site.deaths() for site in sites)).astype(int)
    cells, p = sites[0].cells, sites[0].p

    def pooled(beta) -> GridTotals:
        whole = sum(site.totals(beta).to_vector() for site in sites)
        return GridTotals.from_vector(whole, cells, p)

    options = NewtonOptions(ridge=ridge)
    state = maximise(
        lambda beta: pooled(beta).likelihood(beta, deaths, ties), p, options
    )
    names = [f"x{j}" for j in range(p)]
    found = estimate(state, options, names=names, n=1, events=int(deaths.sum()))
    return found, pooled(state.trial), deaths


def sites_of(z, survival: dict, ends, groups=1, count=3) -> list[GridRows]:
    parts = np.arange(len(z)) % count
    return [
        GridRows(
            z[parts == k],
            Survival(
                **{name: np.asarray(v)[parts == k] for name, v in survival.items()}
            ),
            ends,
            groups,
        )
        for k in range(count)
    ]


def assert_lifelines(found: CoxEstimate, theirs: CoxPHFitter, scale) -> None:
    ours = found.rescale(scale.mean, scale.std)
    np.testing.assert_allclose(ours.coefficients, theirs.params_, atol=1e-8)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors_, atol=1e-8)
    assert ours.log_likelihood_penalised == pytest.approx(
        theirs.log_likelihood_, abs=1e-8
    )


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_rossi_by_month_is_lifelines(ridge, weighted):
    table, ends = load_rossi(), np.arange(4, 50, 4.0)
    names = [c for c in table if c not in {"week", "arrest"}]
    scale = combine([column_moments(table[names].to_numpy(float))])
    weights = 1 + np.arange(len(table)) % 3 if weighted else np.ones(len(table))
    sites = sites_of(
        scale.apply(table[names]),
        {"time": table["week"], "event": table["arrest"], "weights": weights},
        ends,
    )
    found, totals, deaths = fit(sites, ridge=ridge * len(table))
    rows = gridded(table, "week", "arrest", ends).assign(w=weights)
    theirs = CoxPHFitter(penalizer=ridge).fit(
        rows, "week", "arrest", weights_col="w", fit_options=EXACT
    )
    assert_lifelines(found, theirs, scale)
    ours = baseline(totals.draws(deaths, "breslow"), len(ends))[0]
    expected = theirs.baseline_cumulative_hazard_.loc[ends].to_numpy()[:, 0]
    np.testing.assert_allclose(ours, expected, rtol=1e-8)


def test_lung_in_two_strata_is_lifelines():
    table = load_lung()[["time", "status", "age", "ph.ecog", "sex"]].dropna()
    ends = np.arange(90, 900, 90.0)
    names = ["age", "ph.ecog"]
    scale = combine([column_moments(table[names].to_numpy(float))])
    survival = {
        "time": table["time"],
        "event": table["status"],
        "strata": table["sex"] - 1,
    }
    found, *_ = fit(sites_of(scale.apply(table[names]), survival, ends, 2))
    theirs = CoxPHFitter(strata="sex").fit(
        gridded(table, "time", "status", ends), "time", "status", fit_options=EXACT
    )
    assert_lifelines(found, theirs, scale)


def test_left_truncation_on_the_grid_is_lifelines():
    table = load_stanford_heart_transplants().drop(columns="id")
    table = table[table["start"] < table["stop"]]
    ends = np.array([30, 60, 120, 240, 480, 960.0])
    names = ["age", "year", "surgery", "transplant"]
    scale = combine([column_moments(table[names].to_numpy(float))])
    survival = {"time": table["stop"], "event": table["event"], "entry": table["start"]}
    found, *_ = fit(sites_of(scale.apply(table[names]), survival, ends))
    rows = gridded(table, "stop", "event", ends, "start")
    theirs = CoxPHFitter().fit(
        rows, "stop", "event", entry_col="start", fit_options=EXACT
    )
    # the scale is that of all rows: a unit of measure, not of the fit
    assert_lifelines(found, theirs, scale)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), ties=st.sampled_from(["efron", "breslow"]))
def test_totals_give_what_risk_sets_give(seed, ties):
    rng = np.random.default_rng(seed)
    n, p = 60, 2
    z = rng.normal(size=(n, p))
    ends = np.array([1.0, 2.0, 4.0])
    time, event = rng.exponential(2.0, n), rng.integers(0, 2, n)
    entry = time * rng.uniform(0, 0.9, n)
    weights, strata = rng.uniform(0.5, 2, n), rng.integers(0, 2, n)
    survival = {"time": time, "event": event, "entry": entry}
    survival |= {"weights": weights, "strata": strata}
    sites = sites_of(z, survival, ends, 2)
    beta = rng.normal(size=p)
    deaths = np.rint(sum(site.deaths() for site in sites)).astype(int)
    whole = sum(site.totals(beta).to_vector() for site in sites)
    totals = GridTotals.from_vector(whole, 6, p)
    ours = totals.likelihood(beta, deaths, ties)
    frame = pd.DataFrame(survival)
    rows = gridded(frame, "time", "event", ends, "entry")
    kept = rows.index.to_numpy()
    sets = RiskSets(
        z[kept],
        rows["time"],
        rows["event"],
        rows["entry"],
        rows["weights"],
        rows["strata"],
    )
    theirs = sets.sums(beta, ties)
    np.testing.assert_allclose(ours.to_vector(), theirs.to_vector(), atol=1e-8)
    meat = sum(
        r.T @ r for r in (s.residuals(beta, totals, deaths, ties) for s in sites)
    )
    other = sets.residuals(beta, ties)
    np.testing.assert_allclose(meat, other.T @ other, atol=1e-8)


def test_vectors_have_the_length_that_the_contract_names():
    totals = sites_of(
        np.zeros((6, 2)), {"time": range(6), "event": [1] * 6}, [2.0, 9.0]
    )
    vector = totals[0].totals(np.zeros(2)).to_vector()
    assert vector.shape == (grid_length(2, 2),)
    with pytest.raises(InputError, match=r"does not hold the sums of 3 cells"):
        GridTotals.from_vector(vector, 3, 2)


def test_an_interval_without_hazard_is_refused():
    (site,) = sites_of(
        np.zeros((4, 1)), {"time": [1, 2, 3, 4], "event": [1] * 4}, [2.0, 9.0], count=1
    )
    totals = site.totals(np.zeros(1)).rounded(50.0)
    with pytest.raises(FitError, match=r"^Interval 1 has 2 deaths and no hazard"):
        totals.likelihood(np.zeros(1), np.array([2, 2]), "efron")

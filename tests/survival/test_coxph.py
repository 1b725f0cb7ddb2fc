import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from lifelines.datasets import (
    load_kidney_transplant,
    load_larynx,
    load_lung,
    load_rossi,
    load_stanford_heart_transplants,
)
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from fednb.errors import FitError, InputError
from fednb.survival.concordance import concordance_counts
from fednb.survival.coxph import CoxEstimate, estimate, fit, lifelines_penalty
from fednb.survival.moments import column_moments, combine
from fednb.survival.newton import NewtonOptions, start
from fednb.survival.riskset import RiskSets

TIGHT = {"precision": 1e-14, "r_precision": 1e-16, "max_steps": 100}


def lung() -> pd.DataFrame:
    table = load_lung().drop(columns=["meal.cal", "wt.loss"]).dropna()
    return table.astype(float)


def kidney() -> pd.DataFrame:
    table = load_kidney_transplant().astype(float)
    return table.drop(columns=["white_male"])


TABLES = {
    "rossi": (load_rossi, "week", "arrest"),
    "lung": (lung, "time", "status"),
    "larynx": (load_larynx, "time", "death"),
    "kidney": (kidney, "time", "death"),
}


def ours(
    table: pd.DataFrame,
    duration: str,
    event: str,
    ridge: float = 0.0,
    **columns: str,
) -> CoxEstimate:
    """Fit on standardised columns, the way the sites do, in original units."""
    used = [duration, event, *columns.values()]
    names = [name for name in table if name not in used]
    x = table[names].to_numpy(float)
    scale = combine([column_moments(x)])
    extra = {key: table[name] for key, name in columns.items()}
    sets = RiskSets(scale.apply(x), table[duration], table[event], **extra)
    options = NewtonOptions(ridge=lifelines_penalty(ridge, len(table)))
    return fit([sets], options, names).rescale(scale.mean, scale.std)


def assert_equal(mine: CoxEstimate, oracle: CoxPHFitter) -> None:
    assert list(mine.names) == list(oracle.params_.index)
    error = oracle.standard_errors_.to_numpy()
    shift = (mine.coefficients - oracle.params_.to_numpy()) / error
    np.testing.assert_allclose(shift, 0, atol=1e-6)
    np.testing.assert_allclose(mine.standard_errors, error, rtol=1e-6)
    covariance = oracle.variance_matrix_.to_numpy()
    np.testing.assert_allclose(mine.covariance, covariance, rtol=1e-5, atol=1e-9)
    assert mine.log_likelihood_penalised == pytest.approx(
        oracle.log_likelihood_, abs=1e-8
    )
    assert mine.evaluations <= 12


@pytest.mark.parametrize("penalizer", [0.0, 0.1])
@pytest.mark.parametrize("name", TABLES)
def test_fits_equal_lifelines(name: str, penalizer: float):
    load, duration, event = TABLES[name]
    table = load()
    mine = ours(table, duration, event, ridge=penalizer)
    oracle = CoxPHFitter(penalizer=penalizer)
    oracle.fit(table, duration, event, fit_options=TIGHT)
    assert_equal(mine, oracle)
    assert mine.log_likelihood_null == pytest.approx(oracle._ll_null_, abs=1e-8)
    assert (mine.n, mine.events) == (len(table), int(table[event].sum()))
    np.testing.assert_allclose(mine.center, oracle._norm_mean, atol=1e-9)


@pytest.mark.parametrize("penalizer", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "stratum"), [("rossi", "race"), ("lung", "sex"), ("larynx", "Stage_II")]
)
def test_stratified_fits_equal_lifelines(name: str, stratum: str, penalizer: float):
    load, duration, event = TABLES[name]
    table = load()
    mine = ours(table, duration, event, ridge=penalizer, strata=stratum)
    oracle = CoxPHFitter(penalizer=penalizer, strata=[stratum])
    oracle.fit(table, duration, event, fit_options=TIGHT)
    assert_equal(mine, oracle)


def test_strata_are_the_sites():
    table = load_rossi()
    names = [c for c in table if c not in {"week", "arrest", "race"}]
    whole = ours(table, "week", "arrest", strata="race")
    parts = [
        RiskSets(part[names], part["week"], part["arrest"])
        for _, part in table.groupby("race")
    ]
    sites = fit(parts, names=names)
    np.testing.assert_allclose(sites.coefficients, whole.coefficients, atol=1e-9)
    assert sites.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9)


def test_weighted_ties_equal_lifelines():
    # repeat the same weeks with weights 1, 2, 3: Efron uses their mean at each death
    table = load_rossi().assign(weight=1 + np.arange(432) % 3)
    mine = ours(table, "week", "arrest", weights="weight")
    oracle = CoxPHFitter()
    oracle.fit(table, "week", "arrest", weights_col="weight", fit_options=TIGHT)
    assert_equal(mine, oracle)


def test_left_truncation_equals_lifelines():
    table = load_stanford_heart_transplants().drop(columns="id")
    table = table[table["start"] < table["stop"]]
    mine = ours(table, "stop", "event", entry="start")
    oracle = CoxPHFitter()
    oracle.fit(table, "stop", "event", entry_col="start", fit_options=TIGHT)
    assert_equal(mine, oracle)


def test_breslow_ties_equal_scikit_survival():
    table = load_rossi()
    x = table.drop(columns=["week", "arrest"]).astype(float)
    mine = fit([RiskSets(x, table["week"], table["arrest"])], ties="breslow")
    oracle = CoxPHSurvivalAnalysis(ties="breslow", tol=1e-14)
    oracle.fit(x, Surv.from_arrays(table["arrest"] == 1, table["week"]))
    np.testing.assert_allclose(mine.coefficients, oracle.coef_, atol=1e-7)
    efron = fit([RiskSets(x, table["week"], table["arrest"])])
    assert np.abs(efron.coefficients - mine.coefficients).max() > 1e-4


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), sites=st.integers(1, 5))
def test_a_split_over_sites_equals_the_stratified_whole(seed: int, sites: int):
    rng = np.random.default_rng(seed)
    n = 60 * sites
    x = rng.normal(size=(n, 2))
    time = np.ceil(rng.exponential(6 * np.exp(-x @ [0.5, -0.5])))
    event, site = rng.random(n) < 0.8, rng.permutation(n) % sites
    whole = fit([RiskSets(x, time, event, strata=site)])
    parts = [
        RiskSets(x[m], time[m], event[m]) for m in np.arange(sites)[:, None] == site
    ]
    split = fit(parts)
    np.testing.assert_allclose(split.coefficients, whole.coefficients, atol=1e-9)
    np.testing.assert_allclose(split.covariance, whole.covariance, atol=1e-9)


def test_rescaling_equals_a_fit_in_original_units():
    table = load_rossi()
    names = [c for c in table if c not in {"week", "arrest"}]
    direct = fit([RiskSets(table[names], table["week"], table["arrest"])], names=names)
    scaled = ours(table, "week", "arrest")
    np.testing.assert_allclose(scaled.coefficients, direct.coefficients, atol=1e-9)
    np.testing.assert_allclose(scaled.covariance, direct.covariance, atol=1e-9)
    np.testing.assert_allclose(scaled.hazard_ratios, np.exp(direct.coefficients))
    gap = scaled.log_hazard(table[names]) - direct.log_hazard(table[names])
    np.testing.assert_allclose(gap, -scaled.center @ scaled.coefficients, atol=1e-8)


def test_rescaling_refuses_a_constant_column():
    scaled = ours(load_larynx(), "time", "death")
    p = len(scaled.names)
    with pytest.raises(InputError, match=f"{p} means and as many positive standard"):
        scaled.rescale(np.zeros(p), np.zeros(p))


def test_rounding_moves_the_estimate_little():
    table = load_rossi()
    names = [c for c in table if c not in {"week", "arrest"}]
    x = combine([column_moments(table[names])]).apply(table[names])
    parts = [
        RiskSets(x[k::3], table["week"][k::3], table["arrest"][k::3]) for k in range(3)
    ]
    exact, rounded = fit(parts), fit(parts, NewtonOptions(precision=0.1))
    shift = (rounded.coefficients - exact.coefficients) / exact.standard_errors
    assert 0 < np.abs(shift).max() < 0.05
    assert rounded.evaluations < exact.evaluations


def test_rank_deficient_designs_are_refused():
    table = load_rossi().assign(twice=lambda t: 2 * t["age"], one=1.0)
    sets = RiskSets(table[["fin", "age", "twice"]], table["week"], table["arrest"])
    with pytest.raises(FitError, match="deficient: 'age', 'twice' have no spread"):
        fit([sets], names=["fin", "age", "twice"])
    sets = RiskSets(table[["fin", "one"]], table["week"], table["arrest"])
    with pytest.raises(FitError, match="rank-deficient: 'one' have no spread"):
        fit([sets], names=["fin", "one"])
    penalised = fit([sets], NewtonOptions(ridge=1.0))
    assert penalised.coefficients[1] == 0


@pytest.mark.parametrize("precision", [0.0, 0.1])
def test_monotone_likelihood_is_refused(precision: float):
    # the patients with the marker die before everybody else
    rng = np.random.default_rng(2)
    n = 90
    marker = (np.arange(n) < 30).astype(float)
    x = np.column_stack([rng.normal(size=n), marker - marker.mean()])
    time = np.where(marker == 1, rng.uniform(0, 1, n), rng.uniform(2, 3, n))
    sets = RiskSets(x, time, np.ones(n))
    message = r"^The outcome is separated: the coefficients of 'marker' grow without"
    with pytest.raises(FitError, match=message):
        fit([sets], NewtonOptions(precision=precision), ["age", "marker"])
    kept = fit([sets], NewtonOptions(ridge=1.0, precision=precision))
    assert np.isfinite(kept.coefficients).all()


def test_no_events_are_refused():
    sets = RiskSets(np.eye(4), [1, 2, 3, 4], np.zeros(4))
    with pytest.raises(FitError, match="There are no events"):
        fit([sets, sets])


def test_a_site_without_events_adds_nothing():
    table = load_larynx()
    names = ["age", "Stage_II"]
    full = RiskSets(table[names], table["time"], table["death"])
    quiet = RiskSets(table[names], table["time"], np.zeros(len(table)))
    both, alone = fit([full, quiet]), fit([full])
    np.testing.assert_allclose(both.coefficients, alone.coefficients, atol=1e-12)
    assert (both.n, both.events) == (2 * alone.n, alone.events)


def test_malformed_fits_are_refused():
    one, two = RiskSets([[0.0]], [1], [1]), RiskSets([[0.0, 1.0]], [1], [1])
    with pytest.raises(InputError, match="Risk sets of one design"):
        fit([])
    with pytest.raises(InputError, match="Risk sets of one design"):
        fit([one, two])
    with pytest.raises(InputError, match="1 names were given for 2 columns"):
        fit([two], names=["a"])
    with pytest.raises(InputError, match="penalizer=-1"):
        lifelines_penalty(-1, 10)
    with pytest.raises(FitError, match="not converged after 0 evaluations"):
        estimate(start(1), NewtonOptions(), names=["a"], n=1, events=1)


def standardised_fit(train: pd.DataFrame, names: list, ridge: float) -> CoxEstimate:
    parts = [part for _, part in train.groupby("region")]
    scale = combine([column_moments(part[names]) for part in parts], names=names)
    sets = [RiskSets(scale.apply(p[names]), p["T"], p["E"]) for p in parts]
    return fit(sets, NewtonOptions(ridge=ridge), names).rescale(scale.mean, scale.std)


def test_fed_tcga_brca_reaches_the_published_concordance(brca: pd.DataFrame):
    """Six regions, ridge by leave-one-region-out, best published pooled C .842."""
    meta = {"pid", "E", "T", "fold", "fold2", "region"}
    names = [column for column in brca if column not in meta]
    train, test = brca[brca["fold"] == "train"], brca[brca["fold"] == "test"]

    def held_out(ridge: float) -> float:
        total = None
        for region, part in train.groupby("region"):
            model = standardised_fit(train[train["region"] != region], names, ridge)
            risk = model.log_hazard(part[names])
            pairs = concordance_counts(part["T"], part["E"], risk)
            total = pairs if total is None else total + pairs
        return total.index

    best = max((1.0, 3.0, 10.0, 30.0, 100.0), key=held_out)
    model = standardised_fit(train, names, best)
    pairs = concordance_counts(test["T"], test["E"], model.log_hazard(test[names]))
    assert pairs.index >= 0.835
    assert model.evaluations <= 12


def test_fed_tcga_brca_equals_lifelines(brca: pd.DataFrame):
    meta = {"pid", "E", "T", "fold", "fold2", "region"}
    names = [column for column in brca if column not in meta]
    train = brca[brca["fold"] == "train"]
    model = standardised_fit(train, names, 10.0)
    oracle = CoxPHFitter(penalizer=10.0 / len(train), strata=["region"])
    with warnings.catch_warnings():
        # rare levels: lifelines warns of columns with little variance
        warnings.simplefilter("ignore")
        table = train[[*names, "region", "T", "E"]]
        oracle.fit(table, "T", "E", fit_options=TIGHT)
    assert_equal(model, oracle)

"""Cox and logistic heads over sites, against lifelines and Newton on pooled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_larynx, load_lung, load_rossi
from scipy.special import expit

from fednb.embedded.federation import Federation
from fednb.errors import FitError, PlanError, UnknownNameError
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.survival.pairs import PairSums, survival_pairs

EXACT = {"precision": 1e-13}
WHOLE = SplitSpec(train=1.0, validation=0.0, test=0.0)


def split(frame: pd.DataFrame, *sites: str) -> dict[str, pd.DataFrame]:
    """Deal the rows of a table to sites, unevenly and in an order of their own."""
    order = np.random.default_rng(5).permutation(len(frame))
    cuts = np.cumsum([len(frame) // (i + 2) for i in range(len(sites) - 1)])
    parts = np.split(order, cuts)
    return {
        site: frame.iloc[np.sort(part)].reset_index(drop=True)
        for site, part in zip(sites, parts, strict=True)
    }


def stratified(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([f.assign(site=s) for s, f in frames.items()])


def fit(fed: Federation, plan):
    return fed.request(plan, purpose="parity").start().result()


def assert_same(ours, theirs: CoxPHFitter) -> None:
    names = list(theirs.params_.index)
    assert list(ours.params_.index) == names
    gap = np.abs(ours.params_ - theirs.params_).max()
    assert gap < 1e-6
    assert np.abs(ours.standard_errors_ - theirs.standard_errors_).max() < 1e-6
    assert abs(ours.log_likelihood_ - theirs.log_likelihood_) < 1e-8


def rossi() -> tuple[pd.DataFrame, str, str]:
    return load_rossi(), "week", "arrest"


def lung() -> tuple[pd.DataFrame, str, str]:
    frame = load_lung().drop(columns=["inst", "meal.cal"]).dropna()
    frame.columns = [c.replace(".", "_") for c in frame.columns]
    return frame.assign(status=frame["status"].astype(int)), "time", "status"


def larynx() -> tuple[pd.DataFrame, str, str]:
    return load_larynx(), "time", "death"


@pytest.fixture(scope="module", params=[rossi, lung, larynx], ids=lambda f: f.__name__)
def study(request):
    """A data set of lifelines', dealt to three sites that sum in secret."""
    frame, duration, event = request.param()
    frames = split(frame, "north", "south", "west")
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        yield fed, frames, duration, event


def cox_plan(frames, duration: str, event: str, **options: object) -> CoxPlan:
    first = next(iter(frames.values()))
    covariates = [c for c in first.columns if c not in {duration, event}]
    return CoxPlan(
        duration=duration,
        event=event,
        covariates=covariates,
        split=WHOLE,
        fit_on="train",
        evaluate_on="train",
        **options,
    )


@pytest.mark.parametrize("penalizer", [0.0, 0.1, 2.0])
def test_a_cox_fit_through_a_secure_sum_is_lifelines(study, penalizer):
    fed, frames, duration, event = study
    ours = fit(fed, cox_plan(frames, duration, event, penalizer=penalizer))
    theirs = CoxPHFitter(penalizer=penalizer).fit(
        stratified(frames), duration, event, strata="site", fit_options=EXACT
    )
    assert_same(ours, theirs)
    # lifelines' index compares across sites too: ours counts pairs within a site
    pairs, within = [0.0, 0.0], PairSums.none()
    for site in frames.values():
        risk = np.asarray(ours.predict_log_partial_hazard(site))
        time, died = site[duration].to_numpy(), site[event].to_numpy() == 1
        later = time[None, :] > time[:, None]
        tied_out = (time[None, :] == time[:, None]) & ~died[None, :]
        comparable = died[:, None] & (later | tied_out)
        higher = risk[:, None] > risk[None, :]
        same = risk[:, None] == risk[None, :]
        pairs[0] += (comparable & higher).sum() + 0.5 * (comparable & same).sum()
        pairs[1] += comparable.sum()
        within = within + survival_pairs(time, died, risk)
    assert ours.concordance_index_ == pytest.approx(pairs[0] / pairs[1], abs=1e-12)
    assert ours.concordance_index_se_ == pytest.approx(within.std_error, rel=1e-6)


def test_the_summary_reads_like_lifelines(study):
    fed, frames, duration, event = study
    ours = fit(fed, cox_plan(frames, duration, event))
    theirs = CoxPHFitter().fit(
        stratified(frames), duration, event, strata="site", fit_options=EXACT
    )
    columns = ["coef", "exp(coef)", "se(coef)", "z", "p"]
    np.testing.assert_allclose(
        ours.summary[columns], theirs.summary[columns], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("sites", [("one",), ("one", "two")])
def test_one_and_two_open_sites_fit_in_the_clear(sites):
    frames = split(load_rossi(), *sites)
    plan = cox_plan(frames, "week", "arrest")
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        request = fed.request(plan, purpose="parity")
        assert not request.contract.privacy.secure_sum
        assert {o.kind for o in request.contract.outputs} == {"table"}
        ours = request.start().result()
    theirs = CoxPHFitter().fit(
        stratified(frames), "week", "arrest", strata="site", fit_options=EXACT
    )
    assert_same(ours, theirs)


def newton(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coefficients, standard errors and log-likelihood of pooled rows."""
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = expit(x @ beta)
        information = x.T @ (x * (p * (1 - p))[:, None])
        beta = beta + np.linalg.solve(information, x.T @ (y - p))
    p = expit(x @ beta)
    errors = np.sqrt(np.diag(np.linalg.inv(x.T @ (x * (p * (1 - p))[:, None]))))
    return beta, errors, float(np.log(np.where(y == 1, p, 1 - p)).sum())


@pytest.fixture(scope="module")
def prison():
    frames = split(load_rossi(), "north", "south", "west")
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        yield fed, pd.concat(frames.values())


def test_a_logistic_fit_is_that_of_pooled_rows(prison):
    fed, pooled = prison
    names = ["age", "prio", "fin"]
    plan = LogisticPlan(
        target="arrest",
        covariates=names,
        split=WHOLE,
        fit_on="train",
        evaluate_on="train",
    )
    ours = fit(fed, plan)
    x = np.column_stack([pooled[names].to_numpy(float), np.ones(len(pooled))])
    beta, errors, likelihood = newton(x, pooled["arrest"].to_numpy(float))
    np.testing.assert_allclose(ours.params_, beta, atol=1e-6)
    np.testing.assert_allclose(ours.standard_errors_, errors, atol=1e-6)
    assert ours.log_likelihood_ == pytest.approx(likelihood, abs=1e-8)
    predicted = ours.predict_probability(pooled)
    np.testing.assert_allclose(predicted, expit(x @ beta), atol=1e-6)


def test_a_rank_deficient_design_is_refused_with_the_column_named():
    frame = load_rossi().assign(months=lambda f: f["age"] * 12)
    frames = split(frame, "north", "south", "west")
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        plan = cox_plan(frames, "week", "arrest")
        with pytest.raises(FitError) as error:
            fit(fed, plan)
        assert "age" in str(error.value) or "months" in str(error.value)
        for site in frames:
            fed.owner(site).ledger.verify()


def test_a_separated_design_is_refused_and_says_so():
    frame = load_rossi().assign(oracle=lambda f: f["arrest"])
    frames = split(frame, "north", "south", "west")
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        cox = cox_plan(frames, "week", "arrest")
        with pytest.raises(FitError) as error:
            fit(fed, cox)
        assert "oracle" in str(error.value) or "separat" in str(error.value)
        logistic = LogisticPlan(
            target="arrest",
            covariates=["oracle"],
            split=WHOLE,
            fit_on="train",
            evaluate_on="none",
        )
        with pytest.raises(FitError, match="separat"):
            fit(fed, logistic)
        # a penalizer holds it
        held = cox_plan(frames, "week", "arrest", penalizer=0.5)
        assert np.isfinite(fit(fed, held).params_).all()


def test_unknown_and_unfit_columns_are_named_before_anybody_is_asked(prison):
    fed, _ = prison
    before = len(fed.requests)
    plan = CoxPlan(duration="weak", event="arrest", covariates=["age"])
    with pytest.raises(UnknownNameError, match=r"Unknown column 'weak'\. Did you mean"):
        fed.request(plan, purpose="typo")
    with pytest.raises(PlanError):
        CoxPlan(duration="week", event="arrest")
    with pytest.raises(PlanError, match=r"^penalizer must be >= 0; got -1"):
        CoxPlan(duration="week", event="arrest", covariates=["age"], penalizer=-1.0)
    assert len(fed.requests) == before

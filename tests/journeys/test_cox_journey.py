"""Cox heads in full over sites, against lifelines on the pooled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_lung, load_rossi, load_stanford_heart_transplants
from pooled_rows import gridded, split

from fednb.embedded.federation import Federation
from fednb.errors import InputError, PlanError, UnknownNameError
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.survival.ph_test import ph_sums, ph_test
from fednb.survival.rows import check_rows

EXACT = {"precision": 1e-13}
WHOLE = {
    "split": SplitSpec(train=1.0, validation=0.0, test=0.0),
    "fit_on": "train",
    "evaluate_on": "none",
}
SITES = ("north", "south", "west")
MONTHS = tuple(range(4, 53, 4))


@pytest.fixture(scope="module")
def prison():
    """Rossi's prisoners with labels, weights and late entries; no tied weeks."""
    rng = np.random.default_rng(2)
    frame = load_rossi()
    frame["prior"] = pd.cut(
        frame["prio"], [-1, 1, 4, 99], labels=["few", "some", "many"]
    )
    frame["prior"] = frame["prior"].astype(str)
    frame["schooling"] = np.where(frame["age"] < 22, "none", "some")
    frame["exact"] = frame["week"] + rng.permutation(len(frame)) * 1e-4
    frame["weight"] = 1 + np.arange(len(frame)) % 3
    frame["late"] = np.where(rng.random(len(frame)) < 0.3, frame["week"] * 0.5, 0.0)
    frames = split(frame, *SITES)
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        parts = [f.assign(site=s) for s, f in frames.items()]
        yield fed, pd.concat(parts, ignore_index=True)


def fit(fed: Federation, plan):
    return fed.request(plan, purpose="parity").start().result()


def cox(**options: object) -> CoxPlan:
    return CoxPlan(**{"duration": "week", "event": "arrest", **WHOLE, **options})


def assert_same(ours, theirs: CoxPHFitter) -> None:
    names = list(theirs.params_.index)
    assert set(ours.params_.index) == set(names)
    gap = np.abs(ours.params_[names] - theirs.params_).max()
    assert gap < 1e-6
    errors = np.abs(ours.standard_errors_[names] - theirs.standard_errors_).max()
    assert errors < 1e-6
    table = ours.variance_matrix_.loc[names, names] - theirs.variance_matrix_
    assert np.abs(table.to_numpy()).max() < 1e-6
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-6)


LEVELS = {"prior": ("few", "some", "many")}


@pytest.mark.parametrize(
    "formula", ["age + C(prior) + fin", "age * fin + prior", "prior * race + age"]
)
def test_a_formula_is_lifelines_formula(prison, formula):
    fed, pooled = prison
    ours = fit(fed, cox(formula=formula, levels=LEVELS))
    order = pd.Categorical(pooled["prior"], LEVELS["prior"])
    used = ["week", "arrest", "site", "age", "fin", "prior", "race"]
    theirs = CoxPHFitter().fit(
        pooled.assign(prior=order)[used],
        "week",
        "arrest",
        strata="site",
        formula=formula,
        fit_options=EXACT,
    )
    assert_same(ours, theirs)
    assert np.isfinite(ours.predict_log_partial_hazard(pooled)).all()


@pytest.mark.parametrize("kind", ["bs", "ns"])
def test_splines_fit_what_another_basis_of_their_columns_fits(prison, kind):
    fed, pooled = prison
    ours = fit(fed, cox(formula=f"{kind}(age, 22, 27) + fin"))
    wide = ours.design_matrix(pooled)
    # lifelines does not converge on columns as alike as those of splines
    basis, _ = np.linalg.qr(wide - wide.mean())
    rows = pd.DataFrame(basis * np.sqrt(len(wide))).add_prefix("q")
    rows = pd.concat([pooled[["week", "arrest", "site"]], rows], axis=1)
    theirs = CoxPHFitter().fit(rows, "week", "arrest", strata="site", fit_options=EXACT)
    assert len(ours.params_) == {"bs": 6, "ns": 4}[kind]
    assert ours.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-6)
    np.testing.assert_allclose(
        ours.predict_log_partial_hazard(pooled),
        theirs.predict_log_partial_hazard(rows),
        atol=1e-5,
    )


def test_labels_are_covariates_and_the_owner_reads_their_levels(prison):
    fed, pooled = prison
    request = fed.request(cox(covariates=["age", "prior"]), purpose="labels")
    (step,) = request.contract.steps
    assert set(step.levels) == {"prior"}
    ours = request.start().result()
    reference = step.levels["prior"][0]
    rows = pd.get_dummies(pooled["prior"], dtype=float).drop(columns=reference)
    rows.columns = [f"prior[T.{c}]" for c in rows.columns]
    rows = pd.concat([pooled[["week", "arrest", "site", "age"]], rows], axis=1)
    theirs = CoxPHFitter().fit(rows, "week", "arrest", strata="site", fit_options=EXACT)
    assert_same(ours, theirs)


@pytest.mark.parametrize("strata", [("site", "race"), ("site", "prior", "fin")])
def test_further_strata_are_lifelines(prison, strata):
    fed, pooled = prison
    ours = fit(fed, cox(covariates=["age", "mar"], strata=strata))
    used = ["week", "arrest", "age", "mar", *strata]
    theirs = CoxPHFitter(strata=list(strata)).fit(
        pooled[used], "week", "arrest", fit_options=EXACT
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("penalizer", [0.0, 0.05])
def test_weights_and_robust_errors_are_lifelines(prison, robust, penalizer):
    fed, pooled = prison
    plan = cox(
        duration="exact",
        covariates=["age", "fin", "prio"],
        weights="weight",
        robust=robust,
        penalizer=penalizer,
    )
    ours = fit(fed, plan)
    theirs = CoxPHFitter(penalizer=penalizer).fit(
        pooled[["exact", "arrest", "age", "fin", "prio", "weight", "site"]],
        "exact",
        "arrest",
        weights_col="weight",
        strata="site",
        robust=robust,
        fit_options=EXACT,
    )
    if robust:
        # lifelines' own sandwich of a stratified fit runs over the rows in order
        assert (
            np.abs(ours.variance_matrix_ - theirs.variance_matrix_).max().max() < 1e-6
        )
    np.testing.assert_allclose(ours.params_, theirs.params_, atol=1e-6)
    np.testing.assert_allclose(
        ours.standard_errors_, theirs.standard_errors_, atol=1e-6
    )


@pytest.mark.parametrize("transform", ["identity", "log"])
def test_check_assumptions_is_the_test_on_pooled_rows(prison, transform):
    fed, pooled = prison
    names = ["age", "fin", "wexp"]
    ours = fit(fed, cox(covariates=names, ph_test=transform))
    codes = pd.factorize(pooled["site"])[0]
    rows = check_rows(len(pooled), pooled["week"], pooled["arrest"], None, None, codes)
    sums = ph_sums(pooled[names], rows, ours.params_, transform=transform)
    theirs = ph_test(sums, names)
    table = ours.check_assumptions()
    assert list(table.index) == [*names, "GLOBAL"]
    expected = [*theirs.p_value, theirs.global_p_value]
    np.testing.assert_allclose(table["p"], expected, atol=1e-6)
    with pytest.raises(InputError, match="This fit brought no test"):
        fit(fed, cox(covariates=["age"])).check_assumptions()


def test_left_truncation_is_lifelines(prison):
    fed, pooled = prison
    ours = fit(fed, cox(covariates=["age", "fin"], entry="late"))
    theirs = CoxPHFitter().fit(
        pooled[["week", "arrest", "age", "fin", "late", "site"]],
        "week",
        "arrest",
        entry_col="late",
        strata="site",
        fit_options=EXACT,
    )
    assert_same(ours, theirs)


def test_the_elastic_net_keeps_exact_zeros(prison):
    fed, pooled = prison
    names = ["age", "fin", "race", "wexp", "mar", "paro", "prio"]
    ours = fit(fed, cox(covariates=names, penalizer=0.05, l1_ratio=0.9))
    assert (ours.params_ == 0).any()
    assert np.isfinite(ours.summary.to_numpy(float)).all()
    theirs = CoxPHFitter(penalizer=0.05, l1_ratio=0.9).fit(
        pooled[[*names, "week", "arrest", "site"]],
        "week",
        "arrest",
        strata="site",
        fit_options=EXACT,
    )
    scaled = (ours.params_ - theirs.params_) * pooled[names].std()
    # |b| is smooth in lifelines: off by up to 2 log 2 / 1.3^steps
    assert np.abs(scaled).max() < 2e-3
    assert "penalizer: 0.05, l1 ratio 0.9" in " ".join(repr(ours).split())


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_fit_pooled_on_a_grid_is_that_of_gridded_rows(prison, ties):
    fed, pooled = prison
    names = ["age", "fin", "prio"]
    plan = cox(covariates=names, strata="none", grid=MONTHS, ties=ties)
    ours = fit(fed, plan)
    rows = gridded(pooled, "week", "arrest", MONTHS)[[*names, "week", "arrest"]]
    theirs = CoxPHFitter().fit(rows, "week", "arrest", fit_options=EXACT)
    if ties == "efron":
        assert_same(ours, theirs)
        known = theirs.baseline_cumulative_hazard_.loc[list(MONTHS)]
        np.testing.assert_allclose(ours.baseline_cumulative_hazard_, known, atol=1e-6)
        curves = ours.predict_survival_function(pooled.head(5))
        np.testing.assert_allclose(
            curves,
            theirs.predict_survival_function(pooled.head(5), times=MONTHS),
            atol=1e-6,
        )
        clothed = ours.to_lifelines()
        np.testing.assert_allclose(
            clothed.predict_survival_function(pooled.head(5), times=MONTHS),
            curves,
            atol=1e-9,
        )
    ungrouped = fit(fed, cox(covariates=names, ties=ties))
    apart = (ours.params_ - ungrouped.params_) / ours.standard_errors_
    # one Newton step: right to first order
    np.testing.assert_allclose(ours.shifts_["intervals"], apart, atol=0.02)
    assert "effect of intervals" in repr(ours)


def test_a_pooled_fit_with_strata_weights_entries_and_robust_errors(prison):
    fed, pooled = prison
    plan = cox(
        duration="exact",
        formula="age + fin + prior",
        strata="race",
        grid=MONTHS,
        weights="weight",
        entry="late",
    )
    ours = fit(fed, plan)
    rows = gridded(pooled, "exact", "arrest", MONTHS, "late")
    used = ["exact", "arrest", "age", "fin", "prior", "race", "weight", "late"]
    rows["prior"] = pd.Categorical(rows["prior"], ours.terms.levels["prior"])
    theirs = CoxPHFitter(strata="race").fit(
        rows[used],
        "exact",
        "arrest",
        weights_col="weight",
        entry_col="late",
        formula="age + fin + prior",
        fit_options=EXACT,
    )
    assert_same(ours, theirs)
    assert list(ours.baseline_cumulative_hazard_.columns) == ["race=0", "race=1"]
    curves = ours.predict_survival_function(pooled.head(4), times=[0.0, 10.0, 52.0])
    assert curves.shape == (3, 4)
    assert (curves.iloc[0] == 1).all()
    robust = fit(fed, cox(covariates=["age"], strata="none", grid=MONTHS, robust=True))
    assert (
        0.5
        < robust.standard_errors_["age"]
        / np.sqrt(robust.variance_matrix_.loc["age", "age"])
        < 2
    )


def test_a_stratified_fit_may_bring_a_pooled_baseline(prison):
    fed, pooled = prison
    plain = fit(fed, cox(covariates=["age", "fin"]))
    with pytest.raises(InputError, match=r"^This fit has no baseline hazard: give"):
        plain.predict_survival_function(pooled)
    ours = fit(fed, cox(covariates=["age", "fin"], grid=MONTHS))
    np.testing.assert_allclose(ours.params_, plain.params_, atol=1e-9)
    rows = gridded(pooled, "week", "arrest", MONTHS)
    means = pooled[["age", "fin"]].mean()
    risk = np.exp((rows[["age", "fin"]] - means) @ ours.params_)
    jumps = [
        rows["arrest"][rows["week"] == t].sum() / risk[rows["week"] >= t].sum()
        for t in MONTHS
    ]
    np.testing.assert_allclose(
        ours.baseline_cumulative_hazard_.to_numpy()[:, 0], np.cumsum(jumps), atol=1e-6
    )
    with pytest.raises(InputError, match=r"is known from 0 to 52; got times from 60"):
        ours.predict_survival_function(pooled, times=[60.0])


def test_a_logistic_formula(prison):
    fed, pooled = prison
    plan = LogisticPlan(target="arrest", formula="age * fin + prior", **WHOLE)
    ours = fit(fed, plan)
    assert ours.params_.index[-1] == "intercept"
    wide = ours.design_matrix(pooled)
    chance = ours.predict_probability(pooled)
    assert chance.mean() == pytest.approx(pooled["arrest"].mean(), abs=1e-9)
    gradient = wide.T @ (pooled["arrest"].to_numpy() - chance.to_numpy())
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


def test_plans_that_cannot_run_are_refused_before_anybody_is_asked(prison):
    fed, _ = prison
    with pytest.raises(PlanError, match=r"give grid=\[6, 12, \.\.\.\]"):
        cox(covariates=["age"], strata="none")
    with pytest.raises(PlanError, match=r"increasing times above 0; got \(3.0, 2.0\)"):
        cox(covariates=["age"], grid=[3, 2])
    with pytest.raises(PlanError, match="Give covariates or a formula, not both"):
        cox(covariates=["age"], formula="fin")
    with pytest.raises(PlanError, match=r"l1_ratio must lie in \[0, 1\]; got 2"):
        cox(covariates=["age"], l1_ratio=2)
    with pytest.raises(PlanError, match="cannot be read at character 5"):
        cox(formula="age - fin")
    before = len(fed.requests)
    with pytest.raises(UnknownNameError, match=r"Unknown column 'agee'"):
        fed.request(cox(formula="agee"), purpose="typo")
    with pytest.raises(PlanError, match="'age' must be category or binary here"):
        fed.request(cox(formula="C(age)"), purpose="a number is no label")
    with pytest.raises(PlanError, match="levels names 'race', which the plan does not"):
        fed.request(cox(formula="age", levels={"race": ("0", "1")}), purpose="typo")
    assert len(fed.requests) == before


def test_heart_transplants_enter_late_like_lifelines():
    frame = load_stanford_heart_transplants().drop(columns="id")
    frame = frame[frame["start"] < frame["stop"]].reset_index(drop=True)
    frames = split(frame, *SITES)
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        plan = CoxPlan(
            duration="stop",
            event="event",
            entry="start",
            covariates=["age", "year", "surgery", "transplant"],
            **WHOLE,
        )
        ours = fit(fed, plan)
    theirs = CoxPHFitter().fit(
        pd.concat([f.assign(site=s) for s, f in frames.items()]),
        "stop",
        "event",
        entry_col="start",
        strata="site",
        fit_options=EXACT,
    )
    assert_same(ours, theirs)


def test_lung_with_strata_of_sex_and_site():
    frame = load_lung()[["time", "status", "age", "sex", "ph.ecog"]].dropna()
    frame = frame.assign(sex=np.where(frame["sex"] == 1, "m", "f")).reset_index(
        drop=True
    )
    frames = split(frame.assign(status=frame["status"].astype(int)), *SITES)
    with Federation.from_frames(frames, approve="auto", profile="open") as fed:
        ours = fit(
            fed,
            CoxPlan(
                duration="time",
                event="status",
                formula="age + ph.ecog",
                strata=("site", "sex"),
                **WHOLE,
            ),
        )
    theirs = CoxPHFitter(strata=["site", "sex"]).fit(
        pd.concat([f.assign(site=s) for s, f in frames.items()]),
        "time",
        "status",
        fit_options=EXACT,
    )
    assert_same(ours, theirs)

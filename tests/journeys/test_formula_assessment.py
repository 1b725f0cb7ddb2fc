"""Fits of formulas are assessed as they were fitted: labels, splines, interactions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index
from sklearn.metrics import roc_auc_score

from fednb.embedded.federation import Federation
from fednb.errors import PlanError, RefusedError, UnknownNameError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan, LogisticPlan

FORMULA = "C(grade) * sex + ns(age, 40, 60)"
GRADES = ("II", "III", "IV")
COLUMNS = (
    Column("age", "number", "years", 20.0, 90.0, 5.0),
    Column("grade", "category", levels=GRADES),
    Column("sex", "binary"),
    Column("time", "number", "months", 0.0, 120.0, 6.0),
    Column("event", "binary"),
)


def patients(seed: int, sizes: tuple[int, ...]) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    found = {}
    for site, n in zip("abcdefgh", sizes, strict=False):
        age = rng.uniform(25, 85, n).round(1)
        grade = rng.choice(GRADES, n, p=[0.3, 0.4, 0.3])
        sex = rng.integers(0, 2, n)
        risk = 0.04 * np.abs(age - 55) + (grade == "IV") * (0.5 + 0.8 * sex)
        death = 40 * rng.exponential(np.exp(-risk))
        censored = rng.uniform(20, 110, n)
        found[site] = pd.DataFrame(
            {
                "patient_id": [f"{site}-{i}" for i in range(n)],
                "age": age,
                "grade": grade,
                "sex": sex,
                "time": np.minimum(death, censored).round(3) + 0.001,
                "event": (death <= censored).astype(int),
            }
        )
    return found


def federation(frames: dict[str, pd.DataFrame], profile: str, columns=COLUMNS):
    return Federation.from_frames(
        frames, dataset="trial", approve="auto", profile=profile, columns=columns
    )


def fitted(fed, plan, sites=None):
    return fed.request(plan, purpose="journey", sites=sites).start().result()


def cox(**more: object) -> CoxPlan:
    fields = {"formula": FORMULA, "fit_on": "all", "evaluate_on": "none", **more}
    return CoxPlan(duration="time", event="event", **fields)


@pytest.fixture(scope="module")
def trial():
    frames = patients(1, (80, 90, 70, 80))
    with federation(frames, "open") as fed:
        yield fed, frames


def test_a_formula_fit_is_assessed_at_other_sites_as_it_was_fitted(trial):
    fed, frames = trial
    model = fitted(fed, cox(), ["a", "b", "c"])
    report = fed.evaluate(model, sites=["d"])
    there = frames["d"]
    # the caller's own rows go through the same splines: they are tested elsewhere
    risk = np.asarray(model.predict_log_partial_hazard(there))
    own = concordance_index(there["time"], -risk, there["event"])
    assert report["C, pairs within sites"].value == pytest.approx(own, abs=1e-12)
    oracle = CoxPHFitter().fit(
        there[["time", "event"]].assign(risk=risk),
        "time",
        "event",
        fit_options={"precision": 1e-12},
    )
    slope = report["calibration slope"].value
    assert slope == pytest.approx(oracle.params_["risk"], abs=1e-6)
    assert report.plan.model.formula == (
        "C(grade) + sex + C(grade):sex + ns(age, 40, 60)"
    )
    assert report.plan.model.bounds == {"age": (20.0, 90.0)}
    assert "C(grade):sex" in report._repr_html_()


def test_labels_without_a_formula_and_classifiers_are_assessed(trial):
    fed, frames = trial
    covariates = ("grade", "sex", "age")
    plan = LogisticPlan(
        target="event", covariates=covariates, fit_on="all", evaluate_on="none"
    )
    model = fitted(fed, plan, ["a", "b", "c"])
    report = fed.evaluate(model, sites=["d"])
    assert report.plan.model.covariates == covariates
    assert report.plan.model.levels == {"grade": GRADES}
    there = frames["d"]
    score = model.design_matrix(there)[list(model.params_.index)] @ model.params_
    auc = roc_auc_score(there["event"], score)
    assert report["AUC, pairs within sites"].value == pytest.approx(auc, abs=1e-12)


def test_sites_are_left_out_of_a_formula_fit(trial):
    fed, frames = trial
    reports = fed.leave_one_site_out(cox())
    assert list(reports) == ["a", "b", "c", "d"]
    whole = fitted(fed, cox(), ["b", "c", "d"])
    risk = np.asarray(whole.predict_log_partial_hazard(frames["a"]))
    own = concordance_index(frames["a"]["time"], -risk, frames["a"]["event"])
    assert reports["a"]["C, pairs within sites"].value == pytest.approx(own, abs=1e-12)


def test_splines_end_where_they_did_in_the_fit_whatever_is_declared_later(trial):
    fed, _ = trial
    model = fitted(fed, cox(), ["a", "b", "c"])
    frames = patients(2, (60, 60, 60))
    wider = (Column("age", "number", "years", 0.0, 120.0, 5.0), *COLUMNS[1:])
    with federation(frames, "open", wider) as other:
        report = other.evaluate(model, on="all")
    risk = pd.concat(frames.values())
    risk["risk"] = np.asarray(model.predict_log_partial_hazard(risk))
    risk["site"] = risk["patient_id"].str[0]
    pairs = [
        concordance_index(f["time"], -f["risk"], f["event"])
        for _, f in risk.groupby("site")
    ]
    within = report["C, pairs within sites"].value
    assert min(pairs) <= within <= max(pairs)
    oracle = CoxPHFitter().fit(
        risk[["time", "event", "risk", "site"]],
        "time",
        "event",
        strata="site",
        fit_options={"precision": 1e-12},
    )
    assert report["calibration slope"].value == pytest.approx(
        oracle.params_["risk"], abs=1e-6
    )


def test_outside_the_open_profile_knots_are_the_owners_and_labels_are_not_rare():
    frames = patients(3, (100, 100, 100))
    for frame in frames.values():
        frame.loc[frame.index[:2], "grade"] = "I"
    columns = tuple(
        Column("grade", "category", levels=("I", *GRADES)) if c.name == "grade" else c
        for c in COLUMNS
    )
    with federation(frames, "standard", columns) as fed:
        fits = {"duration": "time", "event": "event", "on": "all"}
        curve = FixedModel(
            "cox", (0.01, 0.02), formula="ns(age, 41)", bounds={"age": (20.0, 90.0)}
        )
        with pytest.raises(PlanError, match=r"^Outside the open profile knots lie on"):
            fed.evaluate(curve, **fits)
        slid = FixedModel(
            "cox", (0.01, 0.02), formula="ns(age, 40)", bounds={"age": (21.0, 90.0)}
        )
        with pytest.raises(PlanError, match=r"^Outside the open profile bounds lie on"):
            fed.evaluate(slid, **fits)
        # without that label its patients are left out, all of them
        common = FixedModel(
            "cox", (0.001, 0.1, 0.9), formula="age + C(grade)", levels={"grade": GRADES}
        )
        report = fed.evaluate(common, **fits)
        assert report.n == 300
        # the exact number left out is not told: 294 of 300 are rounded
        assert report["C, pairs within sites"].value > 0.5
        rare = FixedModel(
            "cox", (0.02, 0.3, 0.2, 0.1), formula="age + C(grade)",
            levels={"grade": ("II", "III", "IV", "I")},
        )  # fmt: skip
        with pytest.raises(RefusedError):
            fed.evaluate(rare, **fits)


def test_a_model_says_what_its_terms_need():
    with pytest.raises(PlanError, match=r"^Give covariates or a formula, not both"):
        FixedModel("cox", (1.0,), ("age",), formula="age")
    with pytest.raises(PlanError, match=r"^A model names the bounds of its columns"):
        FixedModel("cox", (1.0, 1.0), formula="ns(age, 40)")
    with pytest.raises(PlanError, match=r"^A model names the bounds of its columns"):
        FixedModel("cox", (1.0,), formula="C(grade)")
    with pytest.raises(PlanError, match=r"^A model of 2 columns needs as many"):
        FixedModel("cox", (1.0,), ("grade",), levels={"grade": GRADES})
    plan = AssessmentPlan(
        FixedModel("cox", (1.0, 2.0), ("grade",), levels={"grade": GRADES}),
        duration="time",
        event="event",
    )
    assert plan.needs()["grade"] == ("category", "binary")
    assert plan.phases()[0].elements == 5 + 3 + 2


def test_a_level_that_nobody_declares_is_told(trial):
    fed, _ = trial
    model = FixedModel("cox", (1.0,), formula="C(sex)", levels={"sex": ("0", "2")})
    with pytest.raises(UnknownNameError, match="level"):
        fed.evaluate(model, duration="time", event="event", sites=["d"], on="all")

"""A whole assessment, round by round, against pooled rows."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest
from assessed import COLUMNS, MODEL, assess, patients
from lifelines import KaplanMeierFitter
from sksurv.metrics import brier_score, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

from fednb.errors import FitError
from fednb.privacy.profiles import STANDARD
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.results.performance import performance_of
from fednb.survival.brier import integrated
from fednb.survival.concordance import auc_counts, concordance_counts
from fednb.survival.logistic import fit as logistic_fit
from fednb.survival.pairs import survival_pairs

PLAN = AssessmentPlan(MODEL, duration="time", event="event")
MONTHS = tuple(float(t) for t in range(1, 61))


def risk_of(table: pd.DataFrame):
    return (0.8 * table.x + 0.4 * table.z).to_numpy()


def figures(found):
    return performance_of(found.design, found.state)


def value(found, name: str) -> float:
    return next(m for m in figures(found).measures if m.name == name).value


@pytest.fixture(scope="module")
def gridded():
    """Deaths in odd months, censorings in even ones; few levels of risk."""
    tables = patients(3, (90, 70, 110))
    for table in tables:
        table["x"] = np.rint(2 * table["x"]) / 2
        odd = 2 * np.ceil(table["time"] / 2) - 1
        table["time"] = np.where(table["event"] == 1, odd, odd + 1)
    return tables


@pytest.fixture(scope="module")
def exact(gridded, tmp_path_factory):
    baseline = tuple(0.012 * t for t in MONTHS)
    plan = msgspec.structs.replace(
        PLAN, times=MONTHS, baseline=baseline, at=(20.0, 40.0), bins=400
    )
    return assess(plan, gridded, tmp_path_factory.mktemp("exact"))


@pytest.fixture(scope="module")
def pooled(gridded):
    whole = pd.concat(gridded)
    outcome = Surv.from_arrays(whole["event"].astype(bool), whole["time"])
    return whole, outcome, risk_of(whole)


def test_open_brier_scores_are_those_of_pooled_rows(exact, pooled):
    _, outcome, risk = pooled
    curve = figures(exact).brier
    predicted = np.exp(-np.outer(np.exp(risk), 0.012 * curve.x))
    theirs = brier_score(outcome, outcome, predicted, curve.x)[1]
    np.testing.assert_allclose(curve.model, theirs, atol=1e-9)
    trapezoid = np.trapezoid(theirs, curve.x) / (curve.x[-1] - curve.x[0])
    assert value(exact, "integrated Brier score") == pytest.approx(trapezoid, abs=1e-9)


def test_follow_up_is_the_reverse_kaplan_meier_of_pooled_rows(exact, pooled):
    whole, _, _ = pooled
    # deaths come before censorings at one time: they are censored just before it
    time = whole["time"] - 1e-6 * whole["event"]
    reverse = KaplanMeierFitter().fit(time, 1 - whole["event"]).survival_function_
    left = reverse["KM_estimate"]
    expected = [left.index[left <= share][0] for share in (0.75, 0.5, 0.25)]
    assert figures(exact).follow_up == tuple(expected)


@pytest.mark.parametrize("seed", [2, 3])
def test_what_a_model_gains_over_kaplan_meier_outlives_rounding(seed, tmp_path):
    tables = patients(seed, (83, 86, 91))
    open_, shown = (
        figures(assess(PLAN, tables, tmp_path, profile)).brier
        for profile in ("open", "standard")
    )
    m = shown.x.size
    assert np.abs(open_.model[:m] - shown.model).max() < 0.03
    gained = [
        1 - integrated(c.x[:m], c.model[:m]) / integrated(c.x[:m], c.reference[:m])
        for c in (open_, shown)
    ]
    assert gained[0] > 0.1
    assert gained[1] == pytest.approx(gained[0], abs=0.02)


def test_beyond_the_end_of_follow_up_there_is_no_auc(tmp_path):
    """Everybody is censored at 24: merged times have patients beyond all the same."""
    tables = patients(4, (120, 120, 120))
    for table in tables:
        late = table["time"] >= 24
        table.loc[late, "event"] = 0
        table["time"] = table["time"].clip(upper=24.0)
    plan = msgspec.structs.replace(PLAN, times=MONTHS, at=(12.0, 24.0))
    found = {
        m.name: m for m in figures(assess(plan, tables, tmp_path, "standard")).measures
    }
    for name in ("AUC at 24, pairs within sites", "AUC at 24, all pairs"):
        assert np.isnan(found[name].value)
        assert "nobody is followed beyond" in found[name].note
    within = found["AUC at 12, pairs within sites"]
    assert within.low < within.value < within.high
    # of the times that have one
    assert found["mean AUC"].value == pytest.approx(within.value)


def test_open_indices_over_all_pairs_are_those_of_pooled_rows(exact, pooled):
    _, outcome, risk = pooled
    tau = MONTHS[exact.state.horizon - 1]
    theirs = concordance_index_ipcw(outcome, outcome, risk, tau=tau + 0.5)[0]
    name = f"Uno's C to {tau:g}, all pairs"
    assert value(exact, name) == pytest.approx(theirs, abs=1e-9)
    aucs, _ = cumulative_dynamic_auc(outcome, outcome, risk, [20.0, 40.0])
    for time, auc in zip((20, 40), aucs, strict=True):
        assert value(exact, f"AUC at {time}, all pairs") == pytest.approx(auc, abs=1e-9)


def test_open_expected_deaths_and_slope_are_those_of_pooled_rows(exact, pooled):
    whole, _, risk = pooled
    time = np.minimum(whole["time"], 60)
    died = ((whole["event"] == 1) & (whole["time"] <= 60)).sum()
    expected = (np.exp(risk) * 0.012 * time).sum()
    assert value(exact, "observed / expected events") == pytest.approx(died / expected)
    slope = next(m for m in figures(exact).measures if m.name == "calibration slope")
    assert slope.low < 1 < slope.high


@pytest.mark.parametrize(
    ("sizes", "shift", "seeds"),
    [
        ((100,) * 3, 0.3, range(4)),
        ((60,) * 6, 0.8, range(3)),
        ((200,) * 3, 0.8, range(2)),
    ],
)
def test_the_index_over_all_pairs_is_within_a_hundredth(tmp_path, sizes, shift, seeds):
    """Of small sites, with merged cells; `fednb bench concordance` tries more seeds."""
    errors = []
    for seed in seeds:
        tables = patients(seed, sizes, shift)
        whole = pd.concat(tables)
        found = assess(PLAN, tables, tmp_path, "standard")
        truth = concordance_counts(whole.time, whole.event, risk_of(whole)).index
        errors.append(abs(value(found, "C, all pairs") - truth))
    assert max(errors) < 0.01
    assert np.mean(errors) < 0.005


def test_pairs_within_sites_are_exact(tmp_path):
    tables = patients(1, (60, 50, 80))
    found = assess(PLAN, tables, tmp_path)
    counts = [concordance_counts(t.time, t.event, risk_of(t)) for t in tables]
    index = (counts[0] + counts[1] + counts[2]).index
    assert value(found, "C, pairs within sites") == pytest.approx(index, abs=1e-12)
    parts = [survival_pairs(t.time, t.event, risk_of(t)) for t in tables]
    error = (parts[0] + parts[1] + parts[2]).std_error
    measure = figures(found).measures[0]
    assert measure.low < index - error < index + error < measure.high


def test_a_classifier_is_assessed(tmp_path):
    tables = patients(2, (150, 120, 130))
    plan = AssessmentPlan(
        FixedModel("logistic", (0.8, 0.4), ("x", "z"), intercept=0.3),
        target="y",
        subgroups=("sex",),
        bins=400,
    )
    found = assess(plan, tables, tmp_path)
    whole = pd.concat(tables)
    logit = risk_of(whole) + 0.3
    chance = 1 / (1 + np.exp(-logit))
    truth = auc_counts(whole.y, logit).index
    assert value(found, "AUC, all pairs") == pytest.approx(truth, abs=1e-3)
    brier = ((chance - whole.y) ** 2).mean()
    assert value(found, "Brier score") == pytest.approx(brier, abs=1e-12)
    ratio = whole.y.sum() / chance.sum()
    assert value(found, "observed / expected events") == pytest.approx(ratio)
    design = np.column_stack([logit, np.ones(len(logit))])
    oracle = logistic_fit([(design, whole.y)])
    slope, intercept = oracle.coefficients
    assert value(found, "calibration slope") == pytest.approx(slope, abs=1e-8)
    assert value(found, "calibration intercept") == pytest.approx(intercept, abs=1e-8)
    women = next(s for s in figures(found).subgroups if s.label == "F")
    assert women.n == (whole.sex == "F").sum()
    decision = figures(found).decision
    treated = chance >= 0.5
    gain = (treated & (whole.y == 1)).mean() - (treated & (whole.y == 0)).mean()
    assert decision.model[9] == pytest.approx(gain)


def test_rounding_hardly_moves_a_classifiers_figures(tmp_path):
    tables = patients(4, (200, 200, 200))
    model = FixedModel("logistic", (0.8, 0.4), ("x", "z"))
    plan = AssessmentPlan(model, target="y")
    shown = assess(plan, tables, tmp_path, "standard")
    truth = assess(plan, tables, tmp_path, "open")
    for one, two in zip(figures(shown).measures, figures(truth).measures, strict=True):
        assert one.value == pytest.approx(two.value, abs=0.02), one.name


def test_a_decision_curve_rests_on_the_table_s_bins_outside_the_open_profile(tmp_path):
    """No counts between thresholds leave: a requester slides thresholds at will."""
    tables = patients(4, (200, 200, 200))
    model = FixedModel("logistic", (0.8, 0.4), ("x", "z"))
    plan = AssessmentPlan(model, target="y")
    shown = assess(plan, tables, tmp_path, "standard")
    truth = assess(plan, tables, tmp_path, "open")
    cells = [f.state.blocks["joint"]["cells"] for f in (shown, truth)]
    assert not cells[0].any()
    assert cells[1].sum() == 600
    one, two = (figures(found).decision for found in (shown, truth))
    # weights of false positives rise towards a threshold of 1
    np.testing.assert_allclose(one.model[:10], two.model[:10], atol=0.03)


@pytest.mark.parametrize(("few", "allow"), [(0, True), (2, False), (8, True)])
def test_no_column_moves_one_patient_alone(tmp_path, few, allow):
    tables = patients(4, (60, 60, 60))
    for table in tables:
        table["x"] = (np.arange(60) < few).astype(float)
    for strength in (2.0, 0.05):
        model = FixedModel("logistic", (strength, 0.8), ("x", "z"))
        plan = AssessmentPlan(model, target="y")
        # what moves a score by less than totals are rounded to shows nobody
        if allow or strength < 0.1:
            assess(plan, tables, tmp_path, "standard")
            continue
        with pytest.raises(AssertionError, match=r"disclosure\.6-dominance"):
            assess(plan, tables, tmp_path, "standard")


@pytest.mark.parametrize(("few", "allow"), [(0, False), (2, False), (8, True)])
def test_each_label_has_enough_patients_over_all_sites(tmp_path, few, allow):
    tables = patients(4, (60, 60, 60))
    for table in tables:
        # three labels: F, M, and a rare one that moves the score hardly at all
        table["sex"] = np.where(np.arange(60) < few, "X", table["sex"])
    declared = tuple(
        msgspec.structs.replace(c, levels=("F", "M", "X")) if c.name == "sex" else c
        for c in COLUMNS
    )
    model = FixedModel(
        "logistic", (0.8, 0.4, 0.01), formula="x + C(sex)",
        levels={"sex": ("F", "M", "X")},
    )  # fmt: skip
    plan = AssessmentPlan(model, target="y")
    if allow:
        assert assess(plan, tables, tmp_path, "standard", declared).state.n == 180
        return
    words = r"9-parameters', reason='About 0 patients of all sites"
    with pytest.raises(AssertionError, match=words):
        assess(plan, tables, tmp_path, "standard", declared)


def test_nothing_exact_leaves_a_standard_site(tmp_path):
    """Every joint count is a sum over merged cells; pairs come in tens."""
    tables = patients(5, (80, 80, 80))
    found = assess(PLAN, tables, tmp_path, "standard")
    n = found.state.n
    for part in found.parts[1]:
        blocks = found.design.layout("joint").split(part)
        assert blocks["table"].sum() == pytest.approx(80, abs=10)
        pairs = blocks["pairs"][:2] * n / 10
        np.testing.assert_allclose(pairs, np.rint(pairs), atol=1e-9)
        theta = blocks["effects"][3] / blocks["effects"][1]
        assert theta == pytest.approx(round(theta, 2), abs=1e-9)


def test_three_hidden_sites_are_not_asked_for_their_mean(tmp_path):
    three = assess(PLAN, patients(6, (80, 80, 80)), tmp_path, "standard")
    assert figures(three).pooled is None
    assert figures(three).between.sites == 3
    four = assess(PLAN, patients(6, (80, 80, 80, 80)), tmp_path, "standard")
    assert figures(four).pooled is not None


def test_a_subgroup_too_small_takes_another_along(tmp_path):
    tables = patients(7, (80, 80, 80))
    for table in tables:
        table["sex"] = ["M"] * 4 + ["F"] * 76
    plan = msgspec.structs.replace(PLAN, subgroups=("sex",))
    found = assess(plan, tables, tmp_path, "standard")
    assert [(s.n, s.events) for s in figures(found).subgroups] == [(0, 0), (0, 0)]


def test_coefficients_that_single_a_patient_out_are_refused(tmp_path):
    tables = patients(8, (60, 60, 60))
    for table in tables:
        table["x"] = table["x"] / 50
    tables[0].loc[0, "x"] = 6.0
    model = FixedModel("cox", (3.0, 0.0), ("x", "z"))
    plan = msgspec.structs.replace(PLAN, model=model)
    with pytest.raises(AssertionError, match=r"disclosure\.6-dominance"):
        assess(plan, tables, tmp_path, "standard")


def test_a_plane_cannot_be_slid_through_the_patients(tmp_path):
    """Steep coefficients would turn sums of predictions into counts of patients."""
    steep = FixedModel("logistic", (900.0, 0.0), ("x", "z"), center=(1.5, 0.0))
    plan = AssessmentPlan(steep, target="y")
    tables = patients(8, (60, 60, 60))
    with pytest.raises(FitError, match=r"outside the open profile at most 4 is asse"):
        assess(plan, tables, tmp_path, "standard")


def test_a_model_that_separates_the_classes_has_no_slope(tmp_path):
    tables = patients(8, (60, 60, 60))
    for table in tables:
        table["y"] = (table["x"] > 0).astype(int)
    model = FixedModel("logistic", (1.0,), ("x",))
    found = assess(AssessmentPlan(model, target="y"), tables, tmp_path)
    assert value(found, "AUC, all pairs") == 1.0
    slope = next(m for m in figures(found).measures if m.name == "calibration slope")
    assert np.isnan(slope.value)
    assert slope.note.startswith("The outcome is separated")


@pytest.mark.parametrize(
    ("column", "words"), [("event", "and 0 events over"), ("x", "the same risk")]
)
def test_what_says_nothing_is_refused(tmp_path, column, words):
    tables = patients(8, (60, 60, 60))
    for table in tables:
        table[column] = 0
    plan = msgspec.structs.replace(PLAN, model=FixedModel("cox", (1.0,), ("x",)))
    with pytest.raises(FitError, match=words):
        assess(plan, tables, tmp_path)


def test_a_site_below_the_threshold_is_refused(tmp_path):
    tables = patients(9, (60, STANDARD.threshold - 1, 60))
    with pytest.raises(AssertionError, match=r"disclosure\.2-threshold"):
        assess(PLAN, tables, tmp_path, "standard")

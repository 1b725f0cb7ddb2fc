"""A model is fitted, evaluated, and taken to sites that never trained."""

from __future__ import annotations

import pandas as pd
import pytest
from assessed import COLUMNS, patients

from fednb.embedded.federation import Federation
from fednb.errors import PlanError, RefusedError, UnknownNameError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.concordance import concordance_counts

COX = CoxPlan(
    duration="time", event="event", covariates=("x", "z"), fit_on="all",
    evaluate_on="none",
)  # fmt: skip


def federation(profile: str, sizes: tuple[int, ...], seed: int = 1) -> Federation:
    frames = dict(zip("abcdefg", patients(seed, sizes), strict=False))
    return Federation.from_frames(
        frames, dataset="trial", approve="auto", profile=profile, columns=COLUMNS
    )


@pytest.fixture(scope="module")
def standard():
    with federation("standard", (150,) * 6) as fed:
        yield fed


@pytest.fixture(scope="module")
def opened():
    with federation("open", (60,) * 4) as fed:
        yield fed


def fitted(fed, sites, plan=COX):
    request = fed.request(plan, dataset="trial", purpose="journey", sites=sites)
    return request.start().result()


def test_external_validation_at_sites_that_never_trained(standard):
    model = fitted(standard, ["a", "b", "c"])
    report = standard.evaluate(model, sites=["d", "e", "f"], subgroups=["sex"])
    assert report.external is True
    assert report.plan.on == "all"
    assert report.n == 450
    assert (report.sites, report.trained) == (("d", "e", "f"), ("a", "b", "c"))
    whole = pd.concat(patients(1, (150,) * 6)[3:])
    risk = model.estimate.log_hazard(whole[["x", "z"]])
    truth = concordance_counts(whole.time, whole.event, risk).index
    assert report["C, all pairs"].value == pytest.approx(truth, abs=0.01)
    assert report["C, all pairs"].low < truth < report["C, all pairs"].high
    slope = report["calibration slope"]
    assert slope.low < 1 < slope.high
    # every figure names outputs that really left
    left = {line.name for line in report.releases}
    for measure in report.performance.measures:
        assert set(measure.release.split(", ")) <= left
    assert len(report.performance.subgroups) == 2


def test_the_report_shows_itself(standard):
    model = FixedModel("logistic", (0.8, 0.4), ("x", "z"))
    plan = AssessmentPlan(model, target="y", on="all", subgroups=("sex",))
    words = standard.request(plan, dataset="trial", purpose="journey").preview()
    assert "Apply a finished logistic model of x and z to all patients" in repr(words)
    report = standard.evaluate(model, target="y", on="all", subgroups=["sex"])
    shown = repr(report)
    for heading in ("Sample size", "Missing data", "Model performance", "Fairness"):
        assert heading in shown
    page = report._repr_html_()
    assert "<h4>Heterogeneity between sites</h4>" in page
    for table in ("measures", "calibration", "decision", "subgroups", "missing"):
        assert len(report.to_frame(table)), table
    assert report.to_frame("brier").empty
    for kind in ("calibration", "decision"):
        axes = report.plot(kind)
        assert axes.get_xlabel()
    assert report.external is None


def test_the_same_evaluation_again_says_the_same(standard):
    model = FixedModel("cox", (0.8, 0.4), ("x", "z"))
    settings = {"duration": "time", "event": "event", "on": "all"}
    first = standard.evaluate(model, **settings)
    again = standard.evaluate(model, **settings)
    assert first["C, all pairs"] == again["C, all pairs"]


def test_sites_are_left_out_one_by_one_in_the_open(opened):
    plan = LogisticPlan(target="y", covariates=("x", "z"))
    reports = opened.leave_one_site_out(plan)
    assert sorted(reports) == ["a", "b", "c", "d"]
    for site, report in reports.items():
        assert report.sites == (site,)
        assert report.external is True
        assert report.n == 60


def test_a_fold_whose_fit_may_not_leave_is_refused_before_anybody_is_asked(standard):
    before = len(standard.requests)
    with pytest.raises(PlanError, match="the fit of a fold may not leave") as caught:
        standard.leave_one_site_out(COX)
    assert "groups=[[...], ...]" in str(caught.value)
    assert len(standard.requests) == before


def test_groups_of_three_may_be_left_out(standard):
    groups = [["a", "b", "c"], ["d", "e", "f"]]
    reports = standard.leave_one_site_out(COX, groups=groups)
    assert list(reports) == ["a, b, c", "d, e, f"]
    assert all(r.external and r.n == 450 for r in reports.values())


def test_two_sites_more_or_less_are_refused_by_the_sites_themselves(standard):
    model = FixedModel("cox", (0.7, 0.4), ("x", "z"))
    settings = {"duration": "time", "event": "event", "on": "all"}
    standard.evaluate(model, **settings)
    with pytest.raises(RefusedError) as caught:
        standard.evaluate(model, sites=["a", "b", "c", "d"], **settings)
    assert caught.value.cause == "participants"


def test_what_cannot_be_evaluated_is_said_before_anybody_is_asked(opened):
    with pytest.raises(PlanError, match=r"needs at least 4 sites"):
        opened.leave_one_site_out(COX, sites=["a", "b", "c"])
    with pytest.raises(PlanError, match=r"^An evaluation needs a FixedModel or the "):
        opened.evaluate("model")
    with pytest.raises(UnknownNameError, match="subgroup"):
        opened.evaluate(FixedModel("cox", (1.0,), ("x",)), subgroup=["sex"])
    with pytest.raises(PlanError, match=r"^Say what a cox model is assessed by: dur"):
        opened.evaluate(FixedModel("cox", (1.0,), ("x",)))
    with pytest.raises(PlanError, match=r"^A model of 2 columns needs as many finite"):
        FixedModel("cox", (1.0,), ("x", "z"))

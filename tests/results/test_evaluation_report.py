"""The report of an assessment shows itself: escaped, bounded, whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fednb.errors import InputError, RunError, UnknownNameError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.results.assessment import TABLES, EvaluationReport, report_of
from fednb.results.performance import (
    Curve,
    Measure,
    Performance,
    Subgroup,
    interval,
)
from fednb.survival.calibration import CalibrationGroups
from fednb.survival.meta_analysis import Heterogeneity, RandomEffects

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def report():
    groups = CalibrationGroups(*(np.array([0.1, 0.4]) for _ in range(4)))
    index = Measure("C, pairs within sites", 0.71, 0.66, 0.76)
    x = np.array([12.0, 24.0])
    found = Performance(
        measures=(index, Measure("calibration slope", math.nan, note=EVIL)),
        calibration=((24.0, groups),),
        brier=Curve(x, x / 100, x / 80),
        decision=None,
        subgroups=(Subgroup(EVIL, EVIL, 40, 0, index),),
        between=Heterogeneity(4, 5.0, 0.02, 0.4, 0.9, 0.1),
        pooled=RandomEffects(0.0, 0.1, -0.5, 0.5),
    )
    plan = AssessmentPlan(
        FixedModel("cox", (1.0, 2.0), (EVIL, "z")), duration="os", event="dead"
    )
    return EvaluationReport(
        plan=plan,
        performance=found,
        n=120,
        events=40,
        missing=(("", 10), (EVIL, 0)),
        sites=("a", EVIL),
        trained=("b",),
    )


def test_nothing_in_a_report_is_markup(report):
    page = report._repr_html_()
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_the_report_has_the_headings_and_its_facts(report):
    shown = repr(report)
    for heading in (
        "Title",
        "Data and participants",
        "Predictors",
        "Sample size",
        "Missing data",
        "Analytical methods",
        "Heterogeneity between sites",
        "Model performance",
        "Fairness: subgroups",
    ):
        assert f"\n{heading}\n" in shown
    assert "events per coefficient: 20.0" in shown
    assert "yes: no site had a part in the fit" in shown
    assert "0.378 to 0.622" in shown  # the logits -.5 and .5
    assert "<10" in shown  # no events look like few


def test_every_table_is_a_frame(report):
    sizes = {table: len(report.to_frame(table)) for table in TABLES}
    assert sizes == {
        "measures": 2,
        "calibration": 2,
        "brier": 2,
        "decision": 0,
        "subgroups": 1,
        "missing": 2,
    }
    assert report.to_frame().loc["C, pairs within sites", "value"] == 0.71
    with pytest.raises(UnknownNameError, match="table"):
        report.to_frame("figures")


def test_figures_are_found_by_name(report):
    assert report["C, pairs within sites"].low == 0.66
    with pytest.raises(UnknownNameError, match="calibration slope"):
        report["slope"]


def test_plots_belong_to_the_model(report):
    assert report.plot("calibration").get_ylabel() == "observed"
    assert report.plot("brier").get_xlabel() == "os"
    with pytest.raises(InputError, match=r"^A cox model has no decision curve\.$"):
        report.plot("decision")
    with pytest.raises(UnknownNameError, match="plot"):
        report.plot("roc")


def test_what_is_not_known_is_not_claimed(report):
    alone = replace(report, trained=())
    assert alone.external is None
    assert "not known" in repr(alone)
    hidden = replace(report.performance, pooled=None, between=None)
    assert "fewer than two sites" in repr(replace(report, performance=hidden))
    with pytest.raises(RunError, match=r"^A str is no assessment\.$"):
        report_of(report.plan, "design", "state")


def test_an_interval_lies_within_0_and_1():
    low, high = interval(0.95, 0.04)
    assert 0 < low < 0.95 < high < 1
    assert all(map(math.isnan, interval(1.0, 0.01)))

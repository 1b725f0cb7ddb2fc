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
        follow_up=(12.0, 24.0, math.inf),
    )
    plan = AssessmentPlan(
        FixedModel("cox", (1.0, 2.0), (EVIL, "z"), (0.0, 0.5)),
        duration="os",
        event="dead",
    )
    return EvaluationReport(
        plan=plan,
        performance=found,
        n=120,
        events=40,
        missing=(("", 10), (EVIL, 0)),
        sites=("a", EVIL),
        trained=("b",),
        names=(EVIL, "z"),
        shares=(0.25, 0.75),
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
        "Model specification",
        "Sample size",
        "Missing data",
        "Analytical methods",
        "Heterogeneity between sites",
        "Limitations",
        "Left to the authors",
        "Model performance",
        "Fairness: subgroups",
    ):
        assert f"\n{heading}\n" in shown
    assert "events per coefficient: 20.0" in shown
    assert "yes: no site had a part in the fit" in shown
    assert "0.378 to 0.622" in shown  # the logits -.5 and .5
    assert "<10" in shown  # no events look like few
    assert "median 24, quartiles 12 and not reached" in shown
    assert "a 25 %, " in shown
    flat = " ".join(shown.split())
    assert "z: 2.000 from 0.500 on" in flat
    assert "sample: fewer than 100 events" in flat
    assert "calibration slope not estimated" in flat


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
    assert report.plot("calibration").get_ylabel() == "observed (95 % CI)"
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


def test_limits_are_those_of_this_assessment(report):
    plan = report.plan
    given = AssessmentPlan(
        plan.model, duration="os", event="dead", times=(1.0,), baseline=(0.1,)
    )
    sites = Heterogeneity(6, 5.0, 0.02, 0.4, 0.9, 0.1)
    fewer = replace(
        report,
        n=900,
        events=100,
        plan=given,
        performance=replace(report.performance, between=sites),
    )
    shown = repr(fewer)
    for word in ("fewer than 100 events", "next to unknown", "of spread alone"):
        assert word in repr(report)
        assert word not in shown
    assert "no external validation" not in repr(report)
    for trained, word in ((("a",), "some had a part"), ((), "fit where, unknown")):
        assert f"{word}" in repr(replace(report, trained=trained))


def test_the_calibration_plot_goes_as_far_as_its_figures(report):
    axes = report.plot("calibration")
    # observed .4 with an error of .4: bars end at 1, and none goes below 0
    assert axes.get_xlim() == axes.get_ylim() == (0.0, 1.0)
    bars = axes.collections[0].get_segments()
    assert min(segment[:, 1].min() for segment in bars) >= 0
    groups = CalibrationGroups(
        np.array([50.0]), np.array([0.1]), np.array([0.1]), np.array([0.02])
    )
    small = replace(report.performance, calibration=((24.0, groups),))
    drawn = replace(report, performance=small).plot("calibration")
    assert drawn.get_xlim()[1] == pytest.approx(1.05 * (0.1 + 1.96 * 0.02))


def test_a_saved_report_is_one_file_with_its_plots(report, tmp_path):
    path = report.save(tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert page.count("<img ") == 2
    assert "Heterogeneity between sites" in page
    assert EVIL not in page

"""An owner reads in words what a head is fitted on and what leaves."""

from __future__ import annotations

from fednb.display.plans import plan_words
from fednb.records.heads import CoxPlan


def test_a_pooled_fit_says_what_is_added_up():
    plan = CoxPlan(
        formula="age * C(grade)",
        levels={"grade": ("2", "3")},
        strata="sex",
        grid=[6, 12],
        weights="w",
        entry="late",
        robust=True,
    )
    words = plan_words(plan)
    assert words.sentence == (
        "Fit a Cox survival model of time and event on age, C(grade) and age:C(grade), "
        "using all patients, and evaluate it on all patients. Times "
        "are replaced by intervals that end at 6, 12; sums of each interval's risk set "
        "and deaths are added up over all sites, in strata of sex. Patients count with "
        "the weight in w. They are at risk after late only. Robust errors take one "
        "round more. Levels, the reference first: grade: 2, 3."
    )
    assert dict(words.arguments)["levels"] == "grade (2, 3)"


def test_a_stratified_fit_says_when_hazard_sums_leave():
    plan = CoxPlan(covariates=("age",), strata=("site", "sex"), grid=[6, 12])
    sentence = plan_words(plan).sentence
    assert "Risk sets stay within the site and of sex." in sentence
    assert "Hazard sums of intervals that end at 6, 12 leave once." in sentence

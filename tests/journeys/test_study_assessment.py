"""A study fits a model and assesses it: sites derive it from the fit's totals."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from assessed import COLUMNS, patients

from fednb.coordinator.rounds import Rounds
from fednb.embedded.federation import Federation
from fednb.errors import FednbError, InputError, PlanError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.studies import StudyPlan
from fednb.survival.assessing import with_fit

COX = CoxPlan(
    duration="time",
    event="event",
    formula="x * C(sex) + z",
    fit_on="train",
    evaluate_on="none",
)
LOGISTIC = LogisticPlan(target="y", covariates=("x", "z"), fit_on="train")


def federation(profile: str):
    frames = dict(zip("abc", patients(5, (150, 140, 160)), strict=True))
    return Federation.from_frames(
        frames, dataset="trial", approve="auto", profile=profile, columns=COLUMNS
    )


def run(fed, plan):
    return fed.request(plan, purpose="journey").start().results()


@pytest.mark.parametrize("profile", ["open", "standard"])
def test_a_study_assesses_its_own_fits(profile):
    study = StudyPlan(
        (
            COX,
            LOGISTIC,
            StudyPlan.assessment_of(0, COX, subgroups=("sex",)),
            StudyPlan.assessment_of(1, LOGISTIC),
        )
    )
    with federation(profile) as fed:
        words = repr(fed.request(study, purpose="journey").preview())
        assert "It is the model that step 1 fits" in words
        cox, logistic, of_cox, of_logistic = run(fed, study)
        model = of_cox.plan.model
        np.testing.assert_allclose(model.coefficients, cox.params_, rtol=1e-12)
        np.testing.assert_allclose(model.center, cox.estimate.center, rtol=1e-12)
        assert of_cox.n > 0
        if profile != "open":
            return
        # the same numbers under a contract of their own say the same
        alone = fed.evaluate(cox, subgroups=["sex"], split=COX.split)
        for measure in of_cox.performance.measures:
            same = alone[measure.name].value
            assert measure.value == pytest.approx(same, abs=1e-9, nan_ok=True)
        alone = fed.evaluate(logistic, split=LOGISTIC.split)
        for measure in of_logistic.performance.measures:
            same = alone[measure.name].value
            assert measure.value == pytest.approx(same, abs=1e-9, nan_ok=True)


def test_sites_refuse_a_model_that_is_not_the_fit(monkeypatch):
    with federation("open") as fed:
        study = StudyPlan((COX, StudyPlan.assessment_of(0, COX)))
        collect = Rounds._collect

        def other(self, step, round_, arrays, *, relayed=(), **more):
            if step == 1 and round_ == 0:
                # a coordinator passes on an earlier round of the fit as its last
                relayed = self.store.relay(self.run, 0, 1)
            return collect(self, step, round_, arrays, relayed=relayed, **more)

        monkeypatch.setattr(Rounds, "_collect", other)
        with pytest.raises(FednbError, match=r"^a refused \(signature\)"):
            run(fed, study)


def test_a_contract_cannot_say_another_model_than_it_fits():
    with federation("open") as fed:
        study = StudyPlan((COX, StudyPlan.assessment_of(0, COX)))
        contract = fed.request(study, purpose="journey").contract
    fit, assessed = contract.steps
    assert assessed.model.formula == "x + C(sex) + x:C(sex) + z"
    assert (assessed.model.coefficients, assessed.model.step) == ((), 0)
    other = msgspec.structs.replace(assessed.model, formula="x + z", levels={})
    plan = msgspec.structs.replace(assessed, model=other)
    with pytest.raises(PlanError, match=r"^The model to assess is not that of step 0"):
        with_fit(plan, contract, [])
    with pytest.raises(InputError, match=r"^The fit of step 0 has not ended"):
        with_fit(assessed, contract, [])
    alone = msgspec.structs.replace(contract, steps=(assessed, fit))
    with pytest.raises(PlanError, match=r"^Step 0 of this contract is no fit"):
        with_fit(assessed, alone, [])


def test_what_is_no_fit_is_said_before_anybody_is_asked():
    changing = msgspec.structs.replace(COX, time_varying={"z": (12.0,)})
    with federation("open") as fed:
        for study, words in (
            (
                (StudyPlan.assessment_of(0, COX), COX),
                "no Cox or logistic fit at step 0",
            ),
            ((changing, StudyPlan.assessment_of(0, changing)), "change with time"),
        ):
            with pytest.raises(PlanError, match=words):
                fed.request(StudyPlan(study), purpose="journey")
        # a model without numbers is none outside of a study
        plan = AssessmentPlan(
            FixedModel("cox", (), step=3), duration="time", event="event"
        )
        with pytest.raises(PlanError, match="no Cox or logistic fit at step 3"):
            fed.request(plan, purpose="journey")

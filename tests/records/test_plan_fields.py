"""A plan says at once what a field cannot hold, and what it leaves open is settled."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fednb.errors import PlanError
from fednb.records.curves import SurvivalPlan
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import EmbeddingRef, SplitSpec
from fednb.records.studies import EMBEDDING, StudyPlan
from fednb.records.tasks import DescribePlan, StatisticsPlan, TrainingPlan


def test_a_table_is_fitted_on_all_patients_and_an_embedding_on_those_set_aside():
    alone = CoxPlan(covariates=["age"])
    assert (alone.fit_on, alone.evaluate_on) == ("all", "all")
    head = LogisticPlan(EMBEDDING, covariates=["age"])
    assert (head.fit_on, head.evaluate_on) == ("validation", "test")
    part = CoxPlan(covariates=["age"], fit_on="train")
    assert (part.fit_on, part.evaluate_on) == ("train", "test")
    steps = CoxPlan(covariates=["age"], time_varying={"age": range(12, 25, 12)})
    assert (steps.fit_on, steps.evaluate_on) == ("all", "none")
    made = EmbeddingRef("ab", 2, 8, SplitSpec())
    assert msgspec.structs.replace(head, embedding=made).fit_on == "validation"


def test_no_plan_on_the_wire_leaves_its_patients_open():
    written = msgspec.json.encode(CoxPlan(covariates=["age"]))
    opened = written.replace(b'"fit_on":"all"', b'"fit_on":"auto"')
    assert opened != written
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'auto'"):
        msgspec.json.decode(opened, type=CoxPlan)


def test_one_name_stands_for_a_list_of_it_and_numbers_may_be_numpys():
    assert CoxPlan(covariates="age").covariates == ("age",)
    assert StatisticsPlan("age").columns == ("age",)
    assert DescribePlan("age", ["T1c"]) == DescribePlan(("age",), ("T1c",))
    assert DescribePlan().columns is None
    plan = TrainingPlan("small-cnn-3d", "idh", rounds=np.int64(3), size=[8, 8, 8])
    assert (plan.rounds, plan.size) == (3, (8, 8, 8))
    assert SurvivalPlan("t", "e", range(3, 9, 3)).grid == (3.0, 6.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CoxPlan("age"),
            "embedding is fednb.EMBEDDING, or the result of an EmbeddingPlan; got "
            "'age'. Columns go into covariates=[...].",
        ),
        (
            lambda: TrainingPlan("small-cnn-3d", "idh", rounds=2.5),
            "TrainingPlan: rounds=2.5 is not possible. Expected `int`, got `float`.",
        ),
        (
            lambda: TrainingPlan("small-cnn-3d", "idh", size=8),
            "TrainingPlan: size=8 is not possible. Expected `array`, got `int`.",
        ),
        (
            lambda: CoxPlan(covariates=["age"], fit_on="everyone"),
            "CoxPlan: fit_on='everyone' is not possible. Invalid enum value "
            "'everyone'.",
        ),
    ],
)
def test_what_a_field_cannot_hold_is_told_where_the_plan_is_made(make, message):
    with pytest.raises(PlanError) as caught:
        make()
    assert str(caught.value) == message


def test_heads_of_one_study_are_fitted_and_evaluated_on_the_same_patients():
    training = TrainingPlan("small-cnn-3d", "idh")
    on_image = LogisticPlan(EMBEDDING, "score", target="idh")
    on_age = LogisticPlan(covariates="age", target="idh")
    *_, image, age = StudyPlan.with_heads(training, on_image, on_age).steps
    assert (age.fit_on, age.evaluate_on) == (image.fit_on, image.evaluate_on)
    assert (age.fit_on, age.evaluate_on) == ("validation", "test")

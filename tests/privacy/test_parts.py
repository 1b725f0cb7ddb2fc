"""Rule 12 for networks: parts of a split that nearly repeat are the earlier ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.privacy.differencing import Answer, Series, distance, pack_members
from fednb.privacy.fits import FitBook, Past
from fednb.privacy.parts import CHECKED, TRAINED, settled_parts
from fednb.privacy.profiles import STANDARD
from fednb.records.tasks import EvaluationPlan, ModelRef, TrainingPlan

PATIENTS = 80
TRAINING = TrainingPlan("small-cnn-3d", "idh")


def evaluation(part: str) -> EvaluationPlan:
    return EvaluationPlan(ModelRef("0" * 64, TRAINING), part)


def split(first: int, second: int, order=range(PATIENTS)):
    """Return a split of patients in some order, cut after two numbers."""
    dealt = list(order)
    parts = (dealt[:first], dealt[first:second], dealt[second:])
    names = ("train", "validation", "test")
    return {n: tuple(sorted(p)) for n, p in zip(names, parts, strict=True)}


def book(*earlier: tuple[str, tuple[int, ...]], patients=PATIENTS) -> FitBook:
    found: dict[str, Series] = {}
    for series, rows in earlier:
        members = np.zeros(PATIENTS, dtype=bool)
        members[list(rows)] = True
        answer = Answer(series, "", pack_members(members), len(rows), b"fitted", 10)
        found.setdefault(series, Series()).add(answer)
    return FitBook(STANDARD, np.arange(patients), found, Past("", frozenset(), 0))


def settled(plan, asked, made, patients=PATIENTS):
    return settled_parts(plan, asked, patients, made)


def test_a_first_training_has_the_parts_that_were_asked_for():
    made, asked = book(), split(48, 64)
    assert settled(TRAINING, asked, made).value == asked
    assert [(a.statistic, a.size) for a in made.added] == [(TRAINED, 48), (CHECKED, 16)]


@pytest.mark.parametrize("first", [39, 47, 49, 57])
def test_a_training_on_one_more_or_less_is_the_earlier_one(first):
    before = split(48, 64)
    made = book((TRAINED, before["train"]))
    found = settled(TRAINING, split(first, 64), made).value
    assert found["train"] == before["train"]
    # who is trained on is in no other part
    assert set(found["train"]).isdisjoint(found["validation"] + found["test"])
    assert not [a for a in made.added if a.statistic == TRAINED]


def test_a_training_on_ten_others_is_another_one():
    made = book((TRAINED, split(48, 64)["train"]))
    assert settled(TRAINING, split(38, 54), made).value == split(38, 54)


def test_where_a_patient_is_gone_nothing_is_trained():
    made = book((TRAINED, tuple(range(32, 80))), patients=79)
    asked = split(48, 64, [*range(32, 79), *range(32)])
    stopped = settled(TRAINING, asked, made, 79)
    assert stopped.value is None
    assert (
        "some of its patients lack a value or are gone" in stopped.decisions[0].reason
    )


def test_an_evaluation_that_nearly_repeats_is_the_earlier_one():
    before = split(48, 64)
    made = book((TRAINED, before["train"]), (CHECKED, before["test"]))
    found = settled(evaluation("test"), split(48, 65), made).value
    assert found["test"] == before["test"]
    assert made.added == ()
    # whoever was trained on is left out of what is asked for
    other = book((TRAINED, before["train"]))
    found = settled(evaluation("test"), split(45, 46), other).value
    assert found["test"] == tuple(range(48, 80))


def test_an_evaluation_of_all_is_of_all_or_of_all_that_there_were():
    everybody = tuple(range(PATIENTS))
    found = settled(evaluation("all"), split(48, 64), book()).value
    assert found == {"train": (), "validation": (), "test": everybody}
    made = book((CHECKED, everybody[:-1]))
    found = settled(evaluation("all"), split(48, 64), made).value
    assert found["test"] == everybody[:-1]
    found = settled(evaluation("train"), split(48, 64), book()).value
    assert found == split(48, 64)


def test_parts_of_which_nothing_leaves_are_not_kept():
    made = book()
    found = settled(TRAINING, split(9, 18), made).value
    assert found == split(9, 18)
    assert made.added == ()
    unchecked = TrainingPlan("small-cnn-3d", "idh", validate_every=0)
    settled(unchecked, split(48, 64), made)
    assert [a.statistic for a in made.added] == [TRAINED]


@given(st.lists(st.tuples(st.integers(10, 80), st.integers(0, 2)), max_size=6))
def test_no_two_trainings_differ_by_fewer_than_the_threshold(asked):
    earlier: list[tuple[str, tuple[int, ...]]] = []
    for first, key in asked:
        order = np.random.default_rng(key).permutation(PATIENTS).tolist()
        made = book(*earlier)
        found = settled(TRAINING, split(first, first, order), made).value
        if found is not None:
            earlier.append((TRAINED, found["train"]))
    sets = []
    for _, rows in earlier:
        members = np.zeros(PATIENTS, dtype=bool)
        members[list(rows)] = True
        sets.append(pack_members(members))
    apart = {distance(one, other) for one in sets for other in sets}
    assert not apart & set(range(1, 10))

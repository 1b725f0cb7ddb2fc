from __future__ import annotations

import dataclasses

import msgspec
import pytest
from filing import contract_of

from fednb.privacy import contract_diff as module
from fednb.privacy.contract_diff import Change, contract_diff, only_tightens
from fednb.records.contracts import (
    Contract,
    OutputSpec,
    Participant,
    Privacy,
    Resources,
)
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import EmbeddingRef, SplitSpec
from fednb.records.tasks import (
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    StatisticsPlan,
    TrainingPlan,
)

replace = msgspec.structs.replace
TRAINING = TrainingPlan("resnet10-3d", "idh", modalities=("T1c", "FLAIR"))
COX = CoxPlan(covariates=("age", "sex"))
STATISTICS = StatisticsPlan(("age", "idh"), by="sex")
UPDATE = OutputSpec(0, "update", "masked", 100, 400, 10, "a sum")
PEOPLE = tuple(Participant(site, "a", "b", "c") for site in ("a", "b", "c"))
BASE = contract_of(
    steps=(TRAINING, COX, STATISTICS, EvaluationPlan(ModelRef("step:0", TRAINING))),
    outputs=(UPDATE,),
    participants=PEOPLE,
    weights=(0.2, 0.3, 0.5),
    columns=(Column("age", "number"), Column("idh", "binary")),
    initial={"0": "aa"},
    parameters={"0": 100},
    standing=True,
    expires=2_000_000_000,
)


def step(index: int, **changes: object) -> Contract:
    steps = list(BASE.steps)
    steps[index] = replace(steps[index], **changes)
    return replace(BASE, steps=tuple(steps))


def output(**changes: object) -> Contract:
    return replace(BASE, outputs=(replace(UPDATE, **changes),))


def person(**changes: object) -> Contract:
    return replace(BASE, participants=(replace(PEOPLE[0], **changes), *PEOPLE[1:]))


TIGHTER = [
    replace(BASE, expires=BASE.expires - 1),
    replace(BASE, standing=False),
    replace(BASE, steps=BASE.steps[:-1]),
    replace(BASE, outputs=()),
    replace(BASE, columns=BASE.columns[:1]),
    replace(BASE, resources=Resources(seconds=3599)),
    replace(BASE, resources=Resources(gpu_gib=7.5)),
    replace(BASE, resources=Resources(message_bytes=10)),
    replace(BASE, resources=Resources(calls=9)),
    replace(BASE, privacy=Privacy(precision=0.2)),
    step(0, rounds=9),
    step(0, modalities=("FLAIR",)),
    step(0, validate_every=2),
    step(0, validate_every=0),
    step(1, max_evaluations=11),
    step(1, covariates=("sex",)),
    step(1, evaluate_on="none"),
    step(2, columns=("idh",)),
    step(2, by=""),
    step(2, quantiles=(0.5,)),
    step(2, bins=10),
    output(times=9),
    output(bytes=300),
    output(elements=99),
]
OTHERS = [
    replace(BASE, requester="Eve"),
    replace(BASE, initial={"0": "bb"}),
    replace(BASE, parameters={"0": 99}),
    replace(BASE, weights=(0.3, 0.2, 0.5)),
    replace(BASE, participants=(*PEOPLE, Participant("d", "a", "b", "c"))),
    replace(BASE, columns=(Column("age", "number", upper=2.0), BASE.columns[1])),
    person(fingerprint="d"),
    step(0, seed=1),
    step(0, local_epochs=2),
    step(0, batch_size=1),
    step(0, learning_rate=0.1),
    step(0, target="death"),
    step(0, strategy="fedprox"),
    step(0, split=SplitSpec(0.8, 0.1, 0.1)),
    step(1, fit_on="train"),
    step(1, penalizer=0.1),
    step(2, by="idh"),
    step(2, columns=("idh", "age")),
    step(3, model=ModelRef("ff", TRAINING)),
]
LOOSER = [
    replace(BASE, version=2),
    replace(BASE, participants=PEOPLE[:2]),
    replace(BASE, steps=(*BASE.steps, DescribePlan((), ()))),
    replace(BASE, steps=(DescribePlan((), ()), *BASE.steps[1:])),
    replace(BASE, outputs=(UPDATE, replace(UPDATE, name="metrics"))),
    replace(BASE, columns=(*BASE.columns, Column("sex", "binary"))),
    replace(BASE, expires=BASE.expires + 1),
    replace(BASE, privacy=Privacy("rare-disease")),
    replace(BASE, privacy=Privacy("open")),
    replace(BASE, privacy=Privacy(secure_sum=False)),
    replace(BASE, privacy=Privacy(precision=0.0)),
    replace(BASE, resources=Resources(calls=10_001)),
    person(signing_key="z"),
    person(agreement_key="z"),
    step(0, rounds=11),
    # none named means all of them
    step(0, modalities=()),
    step(0, modalities=("FLAIR", "T2")),
    step(1, covariates=("age", "grade")),
    step(2, columns=("age", "idh", "sex")),
    output(kind="table"),
    output(kind="weights"),
    output(control="trust me"),
]


@pytest.mark.parametrize("after", TIGHTER, ids=range(len(TIGHTER)))
def test_less_of_anything_tightens_and_back_again_loosens(after: Contract):
    changes = contract_diff(BASE, after)
    assert [c.effect for c in changes] == ["tightens"]
    assert only_tightens(changes)
    assert [c.effect for c in contract_diff(after, BASE)] == ["loosens"]


@pytest.mark.parametrize("after", OTHERS, ids=range(len(OTHERS)))
def test_something_else_neither_tightens_nor_passes(after: Contract):
    changes = contract_diff(BASE, after)
    assert "changes" in {c.effect for c in changes}
    assert not only_tightens(changes)


@pytest.mark.parametrize("after", LOOSER, ids=range(len(LOOSER)))
def test_more_of_anything_loosens(after: Contract):
    changes = contract_diff(BASE, after)
    assert changes[0].effect == "loosens"
    assert not only_tightens(changes)


def test_one_loosening_among_tightenings_comes_first_and_decides():
    after = replace(
        step(0, rounds=2), expires=BASE.expires - 9, participants=PEOPLE[1:]
    )
    changes = contract_diff(BASE, after)
    assert changes[0] == Change("participant", "a", "", "loosens")
    assert changes[0].line() == "loosens: participant: a -> none"
    assert {c.line() for c in changes[1:]} == {
        f"tightens: expires: {BASE.expires} -> {BASE.expires - 9}",
        "tightens: step 0 rounds: 10 -> 2",
    }
    assert not only_tightens(changes)


def test_a_repetition_tightens_nothing():
    again = replace(BASE, nonce="1", created=BASE.created + 5)
    assert contract_diff(BASE, again) == ()
    assert not only_tightens(())


def test_a_model_of_an_earlier_step_is_compared_by_how_it_is_trained():
    shorter = replace(TRAINING, rounds=5)
    model = ModelRef("step:0", shorter)
    after = replace(BASE, steps=(shorter, *BASE.steps[1:3], EvaluationPlan(model)))
    changes = contract_diff(BASE, after)
    assert [c.what for c in changes] == ["step 0 rounds", "step 3 model rounds"]
    assert only_tightens(changes)
    other = ModelRef("step:0", replace(shorter, seed=7))
    after = replace(BASE, steps=(shorter, *BASE.steps[1:3], EvaluationPlan(other)))
    assert not only_tightens(contract_diff(BASE, after))


def test_another_embedding_is_another_question():
    plans = [
        CoxPlan(EmbeddingRef(name, 0, 8, SplitSpec()), "score") for name in ("a", "b")
    ]
    before, after = (replace(BASE, steps=(plan,)) for plan in plans)
    assert [c.effect for c in contract_diff(before, after)] == ["changes"]


def test_a_description_that_names_nothing_counts_nothing():
    """A training that names no modality takes all; a description takes none."""

    def effects(before: DescribePlan, after: DescribePlan) -> list[str]:
        old, new = (replace(BASE, steps=(plan,)) for plan in (before, after))
        return [change.effect for change in contract_diff(old, new)]

    one, none = DescribePlan((), ("T1c",)), DescribePlan((), ())
    assert effects(none, one) == ["loosens"]
    assert effects(one, none) == ["tightens"]
    assert effects(DescribePlan(("age",), ()), none) == ["tightens"]
    assert effects(none, DescribePlan(("age",), ())) == ["loosens"]
    everything = DescribePlan()
    assert effects(none, everything) == effects(everything, none) == 2 * ["loosens"]


def test_what_nobody_wrote_down_loosens(monkeypatch: pytest.MonkeyPatch):
    unknown = {n: r for n, r in module._PLAN.items() if n != "rounds"}
    monkeypatch.setattr(module, "_PLAN", unknown)
    assert contract_diff(BASE, step(0, rounds=1))[0].effect == "loosens"


def test_every_field_of_every_plan_has_a_rule():
    """A new field must be thought about: without a rule it loosens for ever."""
    plans = (TrainingPlan, StatisticsPlan, CoxPlan, LogisticPlan)
    plans += (EvaluationPlan, EmbeddingPlan, DescribePlan)
    fields = {name for plan in plans for name in plan.__struct_fields__}
    assert fields == module._PLAN.keys()
    compared = module._CONTRACT.keys() | module._APART
    assert set(Contract.__struct_fields__) - compared == {"version", "requester_key"}
    assert set(Privacy.__struct_fields__) == module._PRIVACY.keys()
    assert set(Resources.__struct_fields__) == module._RESOURCES.keys()


def test_a_change_is_short_whatever_is_in_it():
    changes = contract_diff(BASE, replace(BASE, requester="x" * 10_000))
    assert len(changes[0].line()) < 200
    assert dataclasses.asdict(changes[0])["effect"] == "changes"

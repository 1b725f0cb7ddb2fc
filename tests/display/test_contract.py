from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

import msgspec
import pytest

from fednb.display.contract import (
    cautions,
    contract_html,
    contract_text,
)
from fednb.display.egress import KINDS
from fednb.display.html import scoped
from fednb.display.plans import plan_words
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.contracts import (
    Contract,
    OutputKind,
    OutputSpec,
    Participant,
    Privacy,
    Resources,
)
from fednb.records.curves import SurvivalPlan
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.keys import key_fingerprint
from fednb.records.specs import ModelSpec, StrategySpec, TransformSpec
from fednb.records.studies import StudyPlan
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    StatisticsPlan,
    TrainingPlan,
)

if TYPE_CHECKING:
    from types import SimpleNamespace


@dataclass
class Words:
    """Gives out words, each one different, or always the same hostile one."""

    always: str = ""
    given: list[str] = field(default_factory=list)

    def __call__(self, label: str) -> str:
        word = self.always or f"{label}-{len(self.given)}"
        self.given.append(word)
        return word


def make_contract(word: Words, **changes: object):
    training = TrainingPlan(
        model=ModelSpec(word("model"), {word("argument"): word("value")}),
        target=word("target"),
        strategy=StrategySpec(word("strategy"), {word("argument"): [1.5]}),
        modalities=(word("modality"),),
        transforms=(TransformSpec(word("transform"), {word("argument"): 2}),),
        covariates=(word("covariate"),),
    )
    embedding = StudyPlan.embedding_of(2)
    fields = {
        "version": 1,
        "nonce": word("nonce"),
        "requester": word("requester"),
        "requester_key": word("key"),
        "purpose": word("purpose"),
        "dataset": word("dataset"),
        "participants": (
            Participant(word("site"), word("key"), word("key"), word("fingerprint")),
        ),
        "steps": (
            training,
            EvaluationPlan(StudyPlan.model_of(0, training)),
            EmbeddingPlan(StudyPlan.model_of(0, training)),
            CoxPlan(
                embedding,
                covariates=(word("covariate"),),
                duration=word("duration"),
                event=word("event"),
            ),
            LogisticPlan(embedding, target=word("target")),
            SurvivalPlan(word("duration"), "death", (6, 12)),
            AssessmentPlan(
                FixedModel("cox", (0.5,), (word("covariate"),)),
                duration=word("duration"),
                event=word("event"),
                subgroups=(word("subgroup"),),
            ),
            StatisticsPlan((word("column"), word("column")), by=word("by")),
            DescribePlan((word("column"),), (word("modality"),)),
        ),
        "outputs": (
            OutputSpec(0, word("output"), "masked", 33210, 132840, 10, word("control")),
        ),
        "privacy": Privacy(),
        "resources": Resources(),
        "created": 1_767_000_000,
        "expires": 1_777_000_000,
        "weights": (1.0,),
        "columns": (
            Column(
                word("column"),
                "number",
                unit=word("unit"),
                lower=18.5,
                upper=90.5,
                description=word("description"),
            ),
            Column(word("column"), "category", levels=(word("level"), word("level"))),
        ),
        "standing": False,
        "initial": {"0": word("initial")},
        "parameters": {"0": 33210},
    }
    assert set(fields) == set(Contract.__struct_fields__)
    return Contract(**{**fields, **changes})


def test_nothing_hostile_survives(hostile: SimpleNamespace):
    word = Words(always=hostile.HOSTILE)
    contract = make_contract(word)
    page = scoped(contract_html(contract, hostile.HOSTILE))
    hostile.assert_harmless_html(page, times=len(word.given))
    hostile.assert_harmless_text(contract_text(contract, hostile.HOSTILE))


def test_every_word_of_the_contract_is_shown():
    word = Words()
    contract = make_contract(word)
    page, plain = contract_html(contract), contract_text(contract)
    assert [w for w in word.given if w not in page] == []
    assert [w for w in word.given if w not in plain] == []


def test_the_hash_and_what_the_owner_decides_on_are_shown():
    contract = make_contract(Words())
    for shown in (contract_html(contract, "pending"), contract_text(contract)):
        assert contract.hash() in shown
        assert key_fingerprint(contract.requester_key) in shown
        assert "masked: hidden by the secure sum" in shown
        assert "up to 33.2 k numbers" in shown
        assert "133 kB" in shown
        assert "In total: at most " in shown
        assert "10 times" in shown
        assert "18.5 to 90.5" in shown
        assert "2026-04-24 03:06 UTC" in shown
        assert "1 h 00 min" in shown
    assert '<span class="badge wait">pending</span>' in contract_html(
        contract, "pending"
    )


def test_two_keys_have_two_fingerprints():
    assert key_fingerprint("ab" * 32) == key_fingerprint("AB" * 32)
    assert key_fingerprint("ab" * 32) != key_fingerprint("ac" * 32)
    assert len(key_fingerprint("ab" * 32).split()) == 8


def test_the_usual_contract_has_no_cautions():
    assert cautions(make_contract(Words())) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"privacy": Privacy(profile="open")}, "The profile is open"),
        ({"privacy": Privacy(secure_sum=False)}, "There is no secure sum"),
        ({"standing": True}, "standing contract"),
        (
            {"outputs": (OutputSpec(0, "final", "weights", 1, 4, 1, "x"),)},
            "Network weights leave in the clear: final.",
        ),
        (
            {"outputs": (OutputSpec(0, "o", "table", 1, 4, 1, "x"),) * 501},
            "It is too long to show",
        ),
    ],
)
def test_what_deserves_a_second_look_is_said(changes: dict[str, object], words: str):
    contract = make_contract(Words(), **changes)
    assert len(cautions(contract)) == 1
    assert words in contract_html(contract)
    assert words in contract_text(contract)


def test_a_long_purpose_is_bounded_and_counted():
    contract = make_contract(Words(), purpose="x" * 10**6)
    assert "… and 996000 more characters" in contract_html(contract)
    assert len(contract_text(contract)) < 20_000


def test_all_kinds_of_output_and_plan_have_words():
    assert set(KINDS) == set(get_args(OutputKind))
    described = {type(step) for step in make_contract(Words()).steps}
    assert described == set(get_args(AnyPlan))


def test_every_argument_of_a_plan_is_listed_with_its_default():
    plan = CoxPlan(covariates=("age",), penalizer=0.5)
    words = plan_words(plan)
    arguments = dict(words.arguments)
    assert tuple(arguments) == tuple(f.name for f in msgspec.structs.fields(plan))
    assert arguments["penalizer"] == "0.5"
    assert words.sentence == (
        "Fit a Cox survival model of time and event on age, using all patients, and "
        "evaluate it on all patients."
    )


def test_an_assessment_reads_as_a_sentence_and_shows_the_coefficients():
    model = FixedModel("logistic", (0.25, -1.5), ("age", "grade"))
    words = plan_words(AssessmentPlan(model, target="idh", subgroups=("sex",)))
    assert words.sentence == (
        "Apply a finished logistic model of age and grade to the test patients, and "
        "report how well it predicts idh, also by sex. Its coefficients are listed "
        "below."
    )
    assert "coefficients=0.25, -1.5" in dict(words.arguments)["model"]


def test_a_training_plan_reads_as_a_sentence():
    words = plan_words(TrainingPlan(model="tiny3d", target="idh", rounds=1), 1500)
    assert words.sentence == (
        "Train the network tiny3d to predict idh from all modalities, in 1 round of "
        "1 epoch each, with the strategy fedavg. The network has 1.5 k weights."
    )


def test_display_imports_nothing_heavy():
    code = (
        "import sys, fednb.display.contract, fednb.display.hooks\n"
        "heavy = {'pandas', 'matplotlib', 'torch', 'lifelines', 'IPython', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603

"""What an owner reads of differential privacy before approving."""

from __future__ import annotations

import msgspec
from filing import contract_of

from fednb.display.contract import cautions, contract_html, contract_text
from fednb.display.plans import plan_words
from fednb.records.dp import DP
from fednb.records.tasks import TrainingPlan

DP_SETTLED = DP(
    epsilon=7.998,
    noise_multiplier=1.25,
    max_grad_norm=0.5,
    sampling_rate=0.2,
    steps=5,
    patients=144.0,
)
PLAN = TrainingPlan(model="tiny3d", target="idh", rounds=4, dp=DP_SETTLED)


def test_the_sentence_says_what_protects_a_patient():
    assert plan_words(PLAN).sentence.endswith(
        "with the strategy fedavg. Each of the 20 steps draws a patient with "
        "probability 0.2, clips the patient's gradient to norm 0.5 and adds noise of "
        "1.25 times that norm, drawn from this site's secret. Whoever sees all that "
        "leaves can tell little of one training patient: differential privacy with "
        "epsilon 7.998 at delta 1e-05, spent from the requester's budget on this "
        "dataset."
    )


def test_the_contract_shows_every_figure():
    contract = contract_of(steps=(PLAN,))
    line = (
        "epsilon 7.998 at delta 1e-05: noise multiplier 1.25, clipping norm 0.5, "
        "sampling rate 0.2, 5 steps a round, 4 rounds"
    )
    assert line in contract_text(contract)
    assert line in str(contract_html(contract))
    plain = contract_of(steps=(msgspec.structs.replace(PLAN, dp=None),))
    assert "Differential privacy, step 0: none" in contract_text(plain)


def test_a_weak_bound_is_cautioned_against():
    weak = msgspec.structs.replace(DP_SETTLED, epsilon=40.0)
    contract = contract_of(steps=(msgspec.structs.replace(PLAN, dp=weak),))
    assert any("is weak: epsilon 40 says little" in c for c in cautions(contract))
    assert not any("weak" in c for c in cautions(contract_of(steps=(PLAN,))))

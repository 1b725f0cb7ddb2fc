"""Contracts whose sums would be one site's, or one patient's: every site refuses."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from clinics import COLUMNS, clinic
from counterparty import (
    approved,
    drafted,
    head_call,
    place,
    propose,
    query,
    refused,
    released,
    told,
)

from fednb.embedded.federation import Federation
from fednb.privacy.egress import outputs_of
from fednb.records.arrays import pack
from fednb.records.contracts import Privacy, Resources
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan
from fednb.records.messages import Call, Refusal, State
from fednb.records.specs import SplitSpec, StrategySpec
from fednb.records.tasks import TrainingPlan
from fednb.site.proposals import strategy_vectors

replace = msgspec.structs.replace
TRAINING = TrainingPlan(model="small-cnn-3d", target="idh", rounds=2, device="cpu")
RELAY = replace(TRAINING, strategy=StrategySpec("cyclic"), validate_every=0)
COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    weights="weight",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="none",
)


def training(fed, plan, *, sites=("a", "b", "c"), weights=(), profile="standard"):
    """Return a training contract as its requester may write it."""
    base = drafted(fed, sites=sites)
    privacy = Privacy(profile, len(sites) > 2, 0.1)
    fields = {"parameters": {"0": 1000}, "privacy": privacy}
    outputs = outputs_of(
        (plan,), sites=3, calls=10, vectors_of=strategy_vectors, **fields
    )
    used = tuple(c for c in COLUMNS if c.name == "idh")
    return replace(
        base,
        steps=(plan,),
        outputs=outputs,
        columns=used,
        standing=False,
        initial={"0": "0" * 64},
        weights=weights or base.weights,
        **fields,
    )


@pytest.mark.parametrize("sites", [("a",), ("a", "b")])
def test_weights_do_not_travel_over_fewer_than_three_sites(tables, sites):
    contract = training(tables, RELAY, sites=sites)
    reply = propose(tables, "a", contract)[1]
    assert isinstance(reply, Refusal)
    assert told(tables, "a", reply) == (
        "Weights that travel from site to site need at least 3 sites; the contract "
        f"names {len(sites)}: what a single one changed would show. Add sites, or "
        "train under differential privacy."
    )
    three = training(tables, RELAY)
    assert isinstance(propose(tables, "a", three)[1], State)


def test_no_site_is_given_all_the_weight(tables):
    heavy = (1 - 2e-9, 1e-9, 1e-9)
    contract = training(tables, TRAINING, weights=heavy)
    reply = propose(tables, "a", contract)[1]
    assert isinstance(reply, Refusal)
    assert reply.cause == "disclosure"
    assert told(tables, "a", reply).startswith("the heaviest site has a weight of 1, ")
    even = training(tables, TRAINING)
    assert isinstance(propose(tables, "a", even)[1], State)
    # a fit sums patients, not sites: weights have no say in it
    fit = replace(drafted(tables), weights=heavy)
    assert isinstance(propose(tables, "a", fit)[1], State)


def test_a_call_larger_than_its_contract_says_is_refused(tables):
    small = drafted(tables, resources=Resources(message_bytes=2000))
    contract = approved(tables, small)
    released(tables, "a", query(tables, "a", contract))
    arrays = {"weights": pack(np.zeros(500, dtype=np.float32))}
    ask = Call("large", place(contract, "run"), arrays, query=b"1")
    reason = refused(tables, "a", ask, "limit")
    assert reason == (
        "The call carries 2001 bytes; the contract names at most 2000 a message."
    )


@pytest.mark.parametrize(("heavy", "refuses"), [(1.0, False), (5000.0, True)])
def test_no_patient_holds_the_weight_of_a_fit(tmp_path, heavy, refuses):
    frames = {}
    for site in ("a", "b", "c"):
        frames[site] = clinic(site).assign(weight=1.0)
        frames[site].loc[7, "weight"] = heavy
    columns = (*COLUMNS, Column("weight", "number", lower=0.1, upper=10_000, step=100))
    with Federation.from_frames(
        frames, dataset="clinic", columns=columns, approve="auto", folder=tmp_path
    ) as fed:
        contract = approved(fed, drafted(fed, COX))
        ask = head_call(contract, "a", "00" * 8, 0)
        if not refuses:
            released(fed, "a", ask)
            return
        reason = refused(fed, "a", ask, "disclosure")
        assert reason.startswith("top two hold 0.98")

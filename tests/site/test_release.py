"""What a release is: signed outputs, one ledger entry, and the same bytes for ever."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from clinics import federate
from counterparty import (
    approved,
    drafted,
    head_call,
    head_round,
    ledger,
    query,
    refused,
    released,
    send,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.embedded.federation import Federation
from fednb.records.base import canonical
from fednb.records.heads import LogisticPlan
from fednb.records.messages import AskStatus, Browse, Ping, StopRun
from fednb.records.specs import SplitSpec


@pytest.fixture(scope="module")
def answered(tables):
    contract = approved(tables, drafted(tables))
    frame, release = released(tables, "a", query(tables, "a", contract))
    return contract, frame, release, ledger(tables, "a")[-1]


def test_a_release_is_the_newest_entry_of_the_ledger(answered):
    _, _, release, entry = answered
    assert (entry.kind, entry.hash) == ("release", release.head)
    assert entry.body["call"] == release.call


def test_the_ledger_keeps_names_sizes_and_hashes_and_no_content(answered):
    contract, _, release, entry = answered
    (output,) = release.outputs
    (line,) = entry.body["outputs"]
    assert entry.body["contract"] == contract.hash()
    assert line == {
        "name": "table",
        "kind": "masked",
        "bytes": output.data.data.nbytes,
        "sha256": hashlib.sha256(output.data.data).hexdigest(),
    }
    assert all({"rule", "allow", "threshold"} <= set(r) for r in entry.body["rules"])


def test_head_and_outputs_bear_the_signature_of_the_site(answered):
    contract, _, release, _ = answered
    named = next(p for p in contract.participants if p.site == "a")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(named.signing_key))
    said = release.attestation
    key.verify(said.signature, said.signed_bytes())
    assert said.leaves == tuple(output.leaf() for output in release.outputs)


def test_the_same_question_twice_is_masked_twice_differently(tables, answered):
    contract, _, release, _ = answered
    _, again = released(tables, "a", query(tables, "a", contract))
    first, second = release.outputs[0].data, again.outputs[0].data
    assert first.shape == second.shape
    assert bytes(first.data) != bytes(second.data)


@pytest.mark.parametrize("ask", [Ping(), AskStatus("0" * 64), StopRun("no such run")])
def test_protocol_messages_have_one_size(tables, ask):
    frame, _ = send(tables, "a", ask)
    assert len(frame) == PROTOCOL_FRAME_BYTES


def test_a_publication_is_signed_item_by_item_and_recorded(tables):
    _, reply = send(tables, "a", Browse())
    card = msgspec.json.decode(reply.bodies[0])
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(card["signing_key"]))
    key.verify(reply.signatures[0], reply.bodies[0])
    assert ledger(tables, "a")[-1].kind == "publication"


def test_a_restarted_site_gives_the_same_bytes_again(tmp_path):
    with federate(tmp_path) as fed:
        contract = approved(fed, drafted(fed))
        ask = query(fed, "a", contract)
        frame, _ = released(fed, "a", ask)
    homes = {s: tmp_path / s for s in ("a", "b", "c")}
    with Federation(homes, tmp_path / "coordinator") as fed:
        assert released(fed, "a", ask)[0] == frame


def test_an_output_leaves_in_as_many_rounds_as_the_contract_names(tables):
    """Whatever would let it pass before: here a contract that nobody derived again."""
    plan = LogisticPlan(
        target="death",
        covariates=("age",),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        fit_on="train",
        evaluate_on="none",
    )
    contract = drafted(tables, plan)
    fewer = tuple(
        msgspec.structs.replace(output, times=1) for output in contract.outputs
    )
    assert [o.times for o in contract.outputs if o.name == "score"] == [12]
    contract = msgspec.structs.replace(contract, outputs=fewer)
    for site in contract.sites():
        approvals = tables._servers[site]._gatekeeper._approvals
        approvals.file(contract, tables._scientist.sign(canonical(contract)))
        approvals.decide(contract.hash(), "approved", "as if it had been derived")
    moments = head_round(tables, contract, "run", 0)
    score = head_round(tables, contract, "run", 1, moments)
    # another attempt of a round is the same round
    ask = head_call(contract, "a", "run", 1, moments, attempt=1)
    released(tables, "a", ask)
    reason = refused(
        tables, "a", head_call(contract, "a", "run", 2, score), "not-in-contract"
    )
    assert reason.startswith(
        "InputError: Output 'score' would be released in 2 rounds; the contract names "
        "at most 1."
    )

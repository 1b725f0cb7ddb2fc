"""What a release is: signed outputs, one ledger entry, and the same bytes for ever."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from clinics import federate
from counterparty import approved, drafted, ledger, query, released, send
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.embedded.federation import Federation
from fednb.records.messages import AskStatus, Browse, Ping, StopRun


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

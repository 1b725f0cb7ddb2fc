from __future__ import annotations

import time
from types import SimpleNamespace

import msgspec
import pytest
from filing import SCIENTIST, STRANGER, cause_of, contract_of, file

from fednb.errors import HomeError, InputError, UnknownNameError
from fednb.records.base import canonical
from fednb.site.approvals import Approvals, Filed
from fednb.site.home import Home
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger


def test_a_signed_contract_is_received_as_it_is(approvals: Approvals):
    contract = contract_of()
    body = canonical(contract)
    assert approvals.receive(body, SCIENTIST.sign(body)) == contract


def test_receiving_stores_nothing(approvals: Approvals):
    body = canonical(contract_of())
    approvals.receive(body, SCIENTIST.sign(body))
    assert approvals.all() == ()


@pytest.mark.parametrize("signature", [b"", bytes(64), b"x" * 64])
def test_a_forged_signature_is_refused(approvals: Approvals, signature: bytes):
    body = canonical(contract_of())
    answer = approvals.receive(body, signature)
    assert cause_of(answer) == ("contract.signature", "signature")


def test_another_key_cannot_sign_in_somebodys_name(approvals: Approvals):
    body = canonical(contract_of())
    answer = approvals.receive(body, STRANGER.sign(body))
    assert cause_of(answer) == ("contract.signature", "signature")
    assert answer.reason == "The signature is not of 'Ada''s key."


def test_edited_bytes_are_refused(approvals: Approvals):
    body = canonical(contract_of())
    edited = body.replace(b"how many", b"who they")
    answer = approvals.receive(edited, SCIENTIST.sign(body))
    assert cause_of(answer) == ("contract.signature", "signature")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"', b'{ "'),
        (b'"standing":false', b'"standing":false '),
        (b"}", b"}\n"),
        (b'"purpose":"how', b'"purpose":"\\u0068ow'),
    ],
)
def test_bytes_that_are_not_canonical_are_refused(
    approvals: Approvals, old: bytes, new: bytes
):
    """Two byte strings of one contract would be two hashes of one thing."""
    body = canonical(contract_of()).replace(old, new, 1)
    answer = approvals.receive(body, SCIENTIST.sign(body))
    assert cause_of(answer) == ("contract.canonical", "edited")


def test_left_out_defaults_are_not_canonical(approvals: Approvals):
    fields = msgspec.json.decode(canonical(contract_of()))
    del fields["standing"]
    body = msgspec.json.encode(fields, order="deterministic")
    answer = approvals.receive(body, SCIENTIST.sign(body))
    assert cause_of(answer) == ("contract.canonical", "edited")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"{}",
        b"[1,2]",
        b'{"type":"Contract"}',
        b'{"type":"Ping"}',
    ],
)
def test_what_is_no_contract_is_malformed(approvals: Approvals, body: bytes):
    answer = approvals.receive(body, SCIENTIST.sign(body))
    assert cause_of(answer) == ("contract.schema", "malformed")


def test_an_unknown_field_is_malformed(approvals: Approvals):
    fields = msgspec.json.decode(canonical(contract_of()))
    body = msgspec.json.encode({**fields, "extra": 1}, order="deterministic")
    answer = approvals.receive(body, SCIENTIST.sign(body))
    assert cause_of(answer) == ("contract.schema", "malformed")


def test_a_filed_contract_waits(approvals: Approvals, filed: str):
    found = approvals.find(filed)
    assert (found.status, found.decided, found.note) == ("pending", 0, "")
    answer = approvals.check(filed)
    assert cause_of(answer) == ("contract.pending", "not-approved")


def test_what_was_never_proposed_is_unknown(approvals: Approvals):
    assert approvals.find("0" * 64) is None
    answer = approvals.check("0" * 64)
    assert cause_of(answer) == ("contract.known", "unknown-contract")


def test_an_approval_holds_for_that_hash_only(approvals: Approvals, filed: str):
    other = file(approvals, contract_of(nonce="1"))
    approvals.decide(filed, "approved", "fine")
    found = approvals.check(filed)
    assert isinstance(found, Filed)
    assert (found.status, found.note) == ("approved", "fine")
    assert found.contract.hash() == filed
    answer = approvals.check(other)
    assert cause_of(answer) == ("contract.pending", "not-approved")


def test_proposing_again_neither_reopens_nor_repeats(
    approvals: Approvals, ledger: Ledger
):
    contract = contract_of()
    digest = file(approvals, contract)
    approvals.decide(digest, "denied", "no")
    entries = ledger.verify()
    assert file(approvals, contract) == digest
    assert approvals.find(digest).status == "denied"
    assert ledger.verify() == entries


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("approved",), "approved"),
        (("approved",), "denied"),
        (("denied",), "approved"),
        (("denied",), "denied"),
        (("denied",), "revoked"),
        (("approved", "revoked"), "approved"),
        (("approved", "revoked"), "revoked"),
        ((), "revoked"),
        ((), "pending"),
        ((), "expired"),
    ],
)
def test_decisions_follow_from_where_a_contract_stands(
    approvals: Approvals, filed: str, first: tuple[str, ...], then: str
):
    for status in first:
        approvals.decide(filed, status, "reason")
    stands = first[-1] if first else "pending"
    with pytest.raises(InputError) as caught:
        approvals.decide(filed, then, "other reason")
    expected = f"Contract {filed[:12]} is {stands}; it cannot be {then}."
    assert str(caught.value) == expected
    found = approvals.find(filed)
    assert found.status == stands
    assert found.note != "other reason"


def test_a_decision_on_an_unknown_contract(approvals: Approvals, filed: str):
    with pytest.raises(UnknownNameError, match="Unknown contract 'nonsense'"):
        approvals.decide("nonsense", "approved")
    assert approvals.find(filed).status == "pending"


@pytest.mark.parametrize("status", ["denied", "revoked"])
def test_a_stop_says_why_to_the_owner(approvals: Approvals, filed: str, status: str):
    if status == "revoked":
        approvals.decide(filed, "approved")
    approvals.decide(filed, status, "the patients said no")
    answer = approvals.check(filed)
    assert cause_of(answer) == (f"contract.{status}", status)
    assert "the patients said no" in answer.reason


def test_an_approval_ends_when_the_contract_expires(
    approvals: Approvals, filed: str, monkeypatch: pytest.MonkeyPatch
):
    approvals.decide(filed, "approved")
    assert isinstance(approvals.check(filed), Filed)
    later = approvals.find(filed).contract.expires
    clock = SimpleNamespace(time=lambda: float(later))
    monkeypatch.setattr("fednb.site.approvals.time", clock)
    assert cause_of(approvals.check(filed)) == ("contract.expired", "expired")


def test_an_expired_contract_cannot_be_approved(approvals: Approvals):
    digest = file(approvals, contract_of(expires=int(time.time()) - 1))
    with pytest.raises(InputError, match="is expired; it cannot be approved"):
        approvals.decide(digest, "approved")
    assert cause_of(approvals.check(digest)) == ("contract.expired", "expired")


def test_two_who_decide_at_the_same_moment_take_turns(
    home: Home,
    approvals: Approvals,
    ledger: Ledger,
    filed: str,
    monkeypatch: pytest.MonkeyPatch,
):
    """The other's denial lands after this one was called, before it could write."""
    beside = Home(home.path)
    keys = SiteKeys(beside.folder("keys"))
    other = Approvals(beside, Ledger(beside, keys))
    begin = beside.transaction

    def late():
        approvals.decide(filed, "denied", "no")
        return begin()

    monkeypatch.setattr(beside, "transaction", late)
    with pytest.raises(InputError, match="is denied; it cannot be approved"):
        other.decide(filed, "approved")
    assert cause_of(approvals.check(filed)) == ("contract.denied", "denied")
    assert ledger.verify() == 2
    beside.close()


def test_every_decision_is_in_the_ledger(
    approvals: Approvals, ledger: Ledger, filed: str
):
    approvals.decide(filed, "approved", "fine")
    approvals.decide(filed, "revoked", "no longer")
    bodies = [e.body for e in ledger.entries()]
    assert [(b["contract"], b["status"]) for b in bodies] == [
        (filed, "pending"),
        (filed, "approved"),
        (filed, "revoked"),
    ]
    assert bodies[0]["requester_key"] == contract_of().requester_key
    assert [b.get("note") for b in bodies] == [None, "fine", "no longer"]
    assert ledger.verify() == 3


def test_the_newest_contract_comes_first(approvals: Approvals):
    hashes = [file(approvals, contract_of(nonce=str(i))) for i in range(4)]
    assert [f.hash for f in approvals.all()] == hashes[::-1]


def test_two_owners_and_a_server_see_the_same(
    home: Home, approvals: Approvals, filed: str
):
    beside = Home(home.path)
    keys = SiteKeys(beside.folder("keys"))
    other = Approvals(beside, Ledger(beside, keys))
    assert other.find(filed).status == "pending"
    approvals.decide(filed, "approved")
    assert isinstance(other.check(filed), Filed)
    other.decide(filed, "revoked", "stop")
    assert cause_of(approvals.check(filed)) == ("contract.revoked", "revoked")
    beside.close()


def test_a_full_disk_decides_nothing(
    home: Home, approvals: Approvals, ledger: Ledger, filed: str
):
    (pages,) = home.database.execute("PRAGMA page_count").fetchone()
    home.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError, match="database or disk is full"):
        approvals.decide(filed, "approved", "x" * 100_000)
    assert approvals.find(filed).status == "pending"
    assert ledger.verify() == 1
    home.database.execute("PRAGMA max_page_count = 1000000")
    approvals.decide(filed, "approved")
    assert ledger.verify() == 2

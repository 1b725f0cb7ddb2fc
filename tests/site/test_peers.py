"""Keys of other sites: who is vouched for, and what happens to everybody else."""

from __future__ import annotations

import secrets

import msgspec
import pytest
from clinics import federate
from counterparty import (
    approved,
    drafted,
    head_call,
    ledger,
    propose,
    query,
    refused,
    released,
    told,
)

from fednb.errors import InputError, UnknownNameError
from fednb.owner.introductions import introduce
from fednb.records.heads import LogisticPlan
from fednb.records.keys import site_fingerprint
from fednb.records.messages import Refusal, State

HEAD = LogisticPlan(target="death", covariates=("age",))


@pytest.fixture
def fed(tmp_path):
    with federate(tmp_path) as made:
        yield made


@pytest.fixture
def strangers(fed):
    """Sites that never heard of each other, and wait for nobody's decision."""
    for site in ("a", "b", "c"):
        owner = fed.owner(site)
        for name in owner.peers.known:
            owner.peers.forget(name)
        owner.policy.set(peers="shown", auto_approve=("statistics",))
    return fed


def played(contract, *sites, **keys):
    """Return a contract in which sites have other keys."""
    forged = tuple(
        msgspec.structs.replace(p, **{f: secrets.token_hex(32) for f in keys})
        if p.site in sites
        else p
        for p in contract.participants
    )
    return msgspec.structs.replace(contract, participants=forged)


def marks(contract) -> dict[str, str]:
    return {
        p.site: site_fingerprint(p.signing_key, p.agreement_key)
        for p in contract.participants
    }


def test_sites_that_one_process_made_know_each_other_and_nobody_else(fed):
    found = marks(drafted(fed))
    for site in found:
        owner = fed.owner(site)
        known = {s: peer.fingerprint for s, peer in owner.peers.known.items()}
        assert known == {s: m for s, m in found.items() if s != site}
        assert owner.peers.fingerprint == found[site]
        assert owner.policy.rules.peers == "pinned"
    # opening them once more enters nothing anew
    before = len(ledger(fed, "a"))
    introduce([fed.owner(site) for site in found])
    assert len(ledger(fed, "a")) == before


@pytest.mark.parametrize("field", ["signing_key", "agreement_key"])
def test_a_key_in_another_sites_name_is_refused(fed, field):
    forged = played(drafted(fed), "b", **{field: ""})
    _, reply = propose(fed, "a", forged)
    assert isinstance(reply, Refusal)
    assert reply.cause == "participants"
    mark = marks(forged)["b"]
    assert told(fed, "a", reply) == (
        f"b ({mark}) are not the keys that are confirmed here."
    )


def test_an_invented_site_is_refused_where_keys_are_pinned(fed):
    contract = drafted(fed)
    invented = tuple(
        msgspec.structs.replace(p, site=name)
        for p, name in zip(contract.participants, ("a", "x", "y"), strict=True)
    )
    forged = msgspec.structs.replace(contract, participants=invented)
    forged = played(forged, "x", "y", signing_key="", agreement_key="")
    _, reply = propose(fed, "a", forged)
    assert isinstance(reply, Refusal)
    assert "Nobody confirmed the keys of x (" in told(fed, "a", reply)


def test_unknown_keys_wait_for_the_owner_whatever_approves_itself(strangers):
    contract = drafted(strangers)
    assert propose(strangers, "a", contract)[1].status == "pending"
    request = strangers.owner("a").requests[contract.hash()]
    shown = [note for note in request.notes if note.startswith("Unknown key")]
    assert len(shown) == 2
    assert marks(contract)["b"] in shown[0]
    assert marks(contract)["c"] in shown[1]
    assert "Unknown key" in repr(request)
    request.approve()
    known = strangers.owner("a").peers.known
    assert {s: p.fingerprint for s, p in known.items()} == {
        s: m for s, m in marks(contract).items() if s != "a"
    }
    assert known["b"].how == f"approving contract {contract.hash()[:12]}"
    released(strangers, "a", query(strangers, "a", contract))
    # the same sites again: now they are known
    assert propose(strangers, "a", drafted(strangers))[1].status == "approved"


def test_a_policy_that_approves_all_approves_no_unknown_key(strangers):
    strangers.owner("a").policy.set(auto_approve=("all",))
    contract = drafted(strangers)
    assert propose(strangers, "a", contract)[1].status == "pending"


def test_a_contract_that_ends_at_its_own_site_has_no_strangers(strangers):
    contract = drafted(strangers, sites=["a"])
    assert propose(strangers, "a", contract)[1].status == "approved"


def test_a_key_that_changes_stops_what_was_approved(fed):
    contract = approved(fed, drafted(fed))
    released(fed, "a", query(fed, "a", contract))
    owner = fed.owner("a")
    owner.peers.confirm("b", "0123 4567 89ab cdef 0123 4567 89ab cdef")
    reason = refused(fed, "a", query(fed, "a", contract), "participants")
    mark = marks(contract)["b"]
    assert reason == f"b ({mark}) are not the keys that are confirmed here."
    owner.peers.confirm("b", mark)
    released(fed, "a", query(fed, "a", contract))
    owner.peers.forget("b")
    reason = refused(fed, "a", query(fed, "a", contract), "participants")
    assert reason.startswith(f"Nobody confirmed the keys of b ({mark})")


def test_a_request_with_other_keys_than_the_confirmed_ones_cannot_be_approved(
    strangers,
):
    contract = drafted(strangers, HEAD)
    assert isinstance(propose(strangers, "a", contract)[1], State)
    owner = strangers.owner("a")
    owner.peers.confirm("b", "0" * 32)
    request = owner.requests[contract.hash()]
    assert request.notes[1].startswith("Other key: b is confirmed with other keys")
    with pytest.raises(InputError, match="names other keys of b than those that are"):
        request.approve()
    reason = refused(
        strangers, "a", head_call(contract, "a", "00" * 8, 0), "not-approved"
    )
    assert reason


def test_what_the_owner_confirms_is_in_the_ledger_and_on_the_page(fed):
    owner = fed.owner("a")
    owner.peers.confirm("d", "FFFF" * 8)
    assert "ffff ffff" in repr(owner.peers)
    assert "ffff ffff" in owner.peers._repr_html_()
    assert ledger(fed, "a")[-1].kind == "decision"
    owner.peers.forget("d")
    owner.ledger.verify()
    assert "d" not in owner.peers.known


def test_what_is_no_fingerprint_is_refused_in_words(fed):
    owner = fed.owner("a")
    with pytest.raises(InputError) as caught:
        owner.peers.confirm("d", "ffff")
    assert str(caught.value) == (
        "A fingerprint of a site's keys has 32 hexadecimal digits; got 'ffff'. Its "
        "owner reads it from owner.peers."
    )
    with pytest.raises(InputError, match="a is this site itself"):
        owner.peers.confirm("a", "f" * 32)
    with pytest.raises(UnknownNameError, match="nobody"):
        owner.peers.forget("nobody")

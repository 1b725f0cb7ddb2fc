from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fednb.errors import InputError, UnknownNameError
from fednb.owner.site_owner import SiteOwner
from fednb.records.keys import key_fingerprint
from fednb.records.messages import AskStatus, State
from fednb.records.tasks import DescribePlan
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from conftest import Scientist

    from fednb.site.server import SiteServer

FIRST = "First contract of this key"
OTHER_KEY = "The name Ada came with another key before"


@pytest.fixture
def proposed(registered: SiteOwner, server: SiteServer, ada: Scientist):
    """Three pending contracts, the third the newest."""
    contracts = [ada.contract(registered, nonce=str(i)) for i in range(3)]
    for contract in contracts:
        assert ada.propose(server, contract).status == "pending"
    return contracts


def status_at(server: SiteServer, contract: str):
    reply = decode_reply(server.handle(encode(AskStatus(contract))))
    assert isinstance(reply, State)
    return reply.status


def test_requests_are_a_sequence_newest_first(registered: SiteOwner, proposed: list):
    requests = registered.requests
    assert len(requests) == 3
    assert [r.hash for r in requests] == [c.hash() for c in reversed(proposed)]
    assert requests[0].hash == requests[-3].hash == proposed[2].hash()
    assert [r.hash for r in requests[1:]] == [proposed[1].hash(), proposed[0].hash()]


def test_a_request_says_what_the_contract_says(registered: SiteOwner, proposed: list):
    request = registered.requests[0]
    assert request.contract == proposed[2]
    assert (request.purpose, request.requester) == ("how many there are", "Ada")
    assert request.steps == (DescribePlan((), ()),)
    assert request.outputs == proposed[2].outputs
    assert request.status == "pending"
    assert request.received > 1.7e9


def test_a_request_is_found_by_the_beginning_of_its_hash(
    registered: SiteOwner, proposed: list
):
    digest = proposed[1].hash()
    assert registered.requests[digest].hash == digest
    assert registered.requests[digest[:12].upper()].hash == digest


@pytest.mark.parametrize("prefix", ["", "no", "0" * 64])
def test_a_hash_that_nothing_begins_with(
    registered: SiteOwner, proposed: list, prefix: str
):
    del proposed
    with pytest.raises(UnknownNameError, match="Unknown contract"):
        registered.requests[prefix]


def test_a_beginning_that_several_share(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    hashes: list[str] = []
    while len({h[0] for h in hashes}) == len(hashes):
        contract = ada.contract(registered, nonce=str(len(hashes)))
        ada.propose(server, contract)
        hashes.append(contract.hash())
    shared = hashes[-1][0]
    with pytest.raises(InputError) as caught:
        registered.requests[shared]
    expected = f"2 contracts begin with {shared!r}; give more of it."
    assert str(caught.value) == expected


def test_a_position_where_there_is_none(registered: SiteOwner, proposed: list):
    del proposed
    with pytest.raises(InputError) as caught:
        registered.requests[3]
    assert str(caught.value) == "There is no request 3; the site has 3."


def test_the_server_beside_follows_each_decision(
    registered: SiteOwner, server: SiteServer, proposed: list
):
    for contract, decide, status in (
        (proposed[0], lambda r: r.approve(note="fine"), "approved"),
        (proposed[1], lambda r: r.deny(reason="too wide"), "denied"),
        (proposed[0], lambda r: r.revoke(reason="enough"), "revoked"),
    ):
        request = registered.requests[contract.hash()]
        assert decide(request) is request
        assert request.status == status
        assert status_at(server, contract.hash()) == status
        assert registered.requests[contract.hash()].status == status
    assert status_at(server, proposed[2].hash()) == "pending"
    assert len(registered.requests.pending) == 1


def test_two_owners_at_once(registered: SiteOwner, proposed: list):
    other = SiteOwner(registered.path)
    mine, theirs = registered.requests[0], other.requests[0]
    mine.deny(reason="no")
    with pytest.raises(InputError, match="is denied; it cannot be approved"):
        theirs.approve()
    assert other.requests[0].status == "denied"
    assert other.requests[0].note == "no"
    assert other.ledger.verify().count == registered.ledger.verify().count
    other.close()
    del proposed


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_refusal_needs_a_reason(registered: SiteOwner, proposed: list, reason: str):
    del proposed
    request = registered.requests[0]
    with pytest.raises(InputError) as caught:
        request.deny(reason)
    expected = "Say why, for the site's own records: reason is empty."
    assert str(caught.value) == expected
    request.approve()
    with pytest.raises(InputError):
        request.revoke(reason)
    assert registered.requests[0].status == "approved"


def test_the_whole_contract_is_shown_before_a_decision(
    registered: SiteOwner, proposed: list
):
    request = registered.requests[0]
    key = proposed[2].requester_key
    for shown in (repr(request), request._repr_html_()):
        assert proposed[2].hash() in shown
        assert key_fingerprint(key) in shown
        assert "how many there are" in shown
        assert "pending" in shown
        assert FIRST in shown
        for output in request.outputs:
            assert output.name in shown


def test_a_note_is_shown_after_a_decision(registered: SiteOwner, proposed: list):
    del proposed
    request = registered.requests[0].approve(note="<b>fine</b>")
    assert "The owner's note: <b>fine</b>" in repr(request)
    assert "&lt;b&gt;fine&lt;/b&gt;" in request._repr_html_()


def test_the_table_shows_what_waits(registered: SiteOwner, proposed: list):
    registered.requests[0].approve()
    requests = registered.requests
    for shown in (repr(requests), requests._repr_html_()):
        assert "3 contracts, 2 waiting for a decision" in shown
        assert "how many there are" in shown
        for contract in proposed:
            assert contract.hash()[:12] in shown
    assert '<span class="badge good">approved</span>' in requests._repr_html_()


def test_a_contract_that_was_edited_is_pointed_out(
    registered: SiteOwner, server: SiteServer, proposed: list
):
    edited = proposed[1].hash()
    registered.requests[edited].approve()
    registered._home.database.execute(
        "UPDATE contracts SET body = x'00' WHERE hash = ?", (edited,)
    )
    requests = registered.requests
    assert [r.hash for r in requests] == [proposed[2].hash(), proposed[0].hash()]
    assert requests.unreadable == (edited,)
    for shown in (repr(requests), requests._repr_html_()):
        assert f"Contract {edited[:12]} is not in force: its stored bytes were" in shown
    assert status_at(server, edited) == "unknown"


def test_an_empty_table(owner: SiteOwner):
    assert repr(owner.requests) == "0 contracts, 0 waiting for a decision"
    assert "waiting for a decision" in owner.requests._repr_html_()


def test_an_unknown_key_is_pointed_out(registered: SiteOwner, proposed: list):
    del proposed
    first = registered.requests[0]
    assert [n.startswith(FIRST) for n in first.notes] == [True, False, False]
    assert all(n.startswith("Unknown key: nobody") for n in first.notes[1:])
    first.approve()
    assert registered.requests[1].notes == ()
    assert registered.requests[0].notes[0].startswith(FIRST)


def test_a_denied_contract_makes_no_key_known(registered: SiteOwner, proposed: list):
    del proposed
    registered.requests[0].deny(reason="no")
    assert registered.requests[1].notes[0].startswith(FIRST)


def test_a_known_name_with_another_key_is_pointed_out(
    registered: SiteOwner, server: SiteServer, ada: Scientist, impostor: Scientist
):
    ada.propose(server, ada.contract(registered))
    registered.requests[0].approve()
    impostor.propose(server, impostor.contract(registered, nonce="1"))
    notes = registered.requests[0].notes
    assert len(notes) == 2
    assert notes[0].startswith(FIRST)
    assert notes[1].startswith(OTHER_KEY)
    assert " !" in repr(registered.requests)


def test_hostile_words_stay_words(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    ada.name = "<script>alert(1)</script>\x1b[2J\u202e"
    ada.propose(server, ada.contract(registered, purpose=ada.name))
    for value in (registered.requests, registered.requests[0]):
        page, plain = value._repr_html_(), repr(value)
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "\x1b" not in plain + page
        assert "\u202e" not in plain + page

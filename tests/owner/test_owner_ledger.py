from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fednb.errors import InputError, IntegrityError, UnknownNameError
from fednb.owner.ledger import LedgerEntry
from fednb.records.messages import Refusal

if TYPE_CHECKING:
    from conftest import Scientist

    from fednb.owner.site_owner import SiteOwner
    from fednb.site.server import SiteServer


def test_everything_an_owner_does_is_entered(registered: SiteOwner):
    registered.policy.set(max_rounds=20)
    entries = registered.ledger.entries
    assert [(e.seq, e.kind) for e in entries] == [
        (1, "decision"),
        (2, "dataset"),
        (3, "decision"),
    ]
    assert entries[0].body["site"] == "ucsf"
    fingerprint = registered.datasets["glioma"].card.fingerprint
    assert entries[1].body["fingerprint"] == fingerprint
    assert entries[2].body["policy"] == {"max_rounds": 20}
    assert entries[2].body["before"] == {"max_rounds": 1000}


def test_a_check_that_holds_shows_itself(registered: SiteOwner):
    head = registered.ledger.entries[0].hash
    check = registered.ledger.verify([head])
    assert (check.count, check.heads) == (2, 1)
    assert check.head == registered.ledger.entries[-1].hash
    assert repr(check) == (
        f"The ledger holds: 2 entries, kept heads found: 1. Head: {check.head}"
    )
    assert "holds" in check._repr_html_()


def test_a_missing_head_is_named(registered: SiteOwner):
    head = registered.ledger.entries[0].hash
    other = "ab" * 32
    with pytest.raises(IntegrityError, match=f"head {other} is missing"):
        registered.ledger.verify([head, other])


@pytest.mark.parametrize("head", ["abc", "", "g" * 64, "a" * 63, "a" * 65])
def test_a_mistyped_head_is_no_alarm(registered: SiteOwner, head: str):
    with pytest.raises(InputError) as caught:
        registered.ledger.verify([head])
    expected = f"{head!r} is not a head: a head has 64 hexadecimal digits."
    assert str(caught.value) == expected


def test_a_head_may_be_written_in_capitals_and_with_spaces(registered: SiteOwner):
    head = registered.ledger.entries[0].hash.upper()
    assert registered.ledger.verify([f" {head}\n"]).heads == 1


def test_a_tampered_entry_is_named(registered: SiteOwner):
    database = registered._home.database
    database.execute('UPDATE ledger SET body = \'{"site":"other"}\' WHERE seq = 1')
    with pytest.raises(IntegrityError, match="does not hold at entry 1"):
        registered.ledger.verify()


def test_an_entry_that_cannot_be_read_is_named(registered: SiteOwner):
    registered._home.database.execute("UPDATE ledger SET body = '{' WHERE seq = 2")
    with pytest.raises(IntegrityError, match="does not hold at entry 2"):
        _ = registered.ledger


def test_a_refusal_is_found_by_the_id_that_left(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    """The requester is told a cause and an id; the words stay with the owner."""
    reply = ada.propose(server, ada.contract(registered, dataset="secret"))
    assert isinstance(reply, Refusal)
    assert reply.cause == "unknown-dataset"
    entry = registered.ledger.find(f" {reply.correlation} ")
    assert entry.kind == "refusal"
    assert entry.reason == "No dataset 'secret'; there are ('glioma',)."
    for shown in (repr(entry), entry._repr_html_()):
        assert "contract.dataset" in shown
        assert reply.correlation in shown


def test_an_id_that_nothing_was_refused_under(registered: SiteOwner):
    with pytest.raises(UnknownNameError, match="Unknown correlation id 'abc'"):
        registered.ledger.find("abc")


def test_the_table_shows_the_newest_entries(registered: SiteOwner):
    for i in range(30):
        registered.policy.set(max_rounds=i + 1)
    ledger = registered.ledger
    shown = repr(ledger)
    assert shown.splitlines()[0] == "Ledger of 32 entries, the newest 20 shown"
    assert shown.splitlines()[3].startswith("   32  ")
    assert '"max_rounds": 30' in shown
    assert '"max_rounds": 9}' not in shown
    assert ledger._repr_html_().count("<tr>") == 21


def test_a_release_says_what_left_and_under_which_contract():
    outputs = [
        {"name": "metrics", "bytes": 56, "kind": "masked", "sha256": "ab" * 32},
        {"name": "update", "bytes": 951_748, "kind": "masked", "sha256": "cd" * 32},
    ]
    body = {"attempt": 0, "contract": "ef" * 32, "outputs": outputs, "rules": [{}]}
    entry = LedgerEntry(7, 0.0, "release", body | {"step": 0, "round": 3}, "ab" * 32)
    assert entry.line() == (
        "metrics (56 B, masked), update (952 kB, masked); step 0, round 3 of contract "
        "efefefefefef"
    )
    assert "cd" * 32 in repr(entry)


def test_what_a_person_wrote_stands_first_and_hashes_are_short():
    body = {"contract": "ef" * 32, "decision": "denied", "reason": "too vague"}
    entry = LedgerEntry(7, 0.0, "decision", body, "ab" * 32)
    assert entry.line() == "too vague, contract efefefefefef, decision denied"


def test_hostile_words_stay_words(
    registered: SiteOwner, server: SiteServer, ada: Scientist
):
    evil = "<img src=x onerror=alert(1)>\x1b[2J"
    ada.propose(server, ada.contract(registered, purpose=evil, dataset=evil))
    ledger = registered.ledger
    for value in (ledger, ledger.entries[-1]):
        assert "<img" not in value._repr_html_()
        assert "\x1b" not in value._repr_html_() + repr(value)

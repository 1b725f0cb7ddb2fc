"""What somebody writes into the database of a home is not what its owner decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from filing import cause_of, contract_of, file

from fednb.errors import InputError, IntegrityError
from fednb.records.base import canonical, sha256_hex
from fednb.records.outputs import Decision
from fednb.site.approvals import Approvals
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.site.home import Home


def entry_of(home: Home, seq: int):
    return home.database.execute(
        "SELECT time, kind, body, previous, hash, signature FROM ledger WHERE seq = ?",
        (seq,),
    ).fetchone()


@pytest.mark.parametrize("stop", ["revoked", "denied"])
@pytest.mark.parametrize("replayed", ["behind", "over"])
def test_an_old_approval_does_not_undo_a_stop(
    home: Home, approvals: Approvals, ledger: Ledger, stop: str, replayed: str
):
    """Everything that a row ever held may be written back: only the newest counts."""
    contract = contract_of()
    digest = file(approvals, contract)
    if stop == "revoked":
        approvals.decide(digest, "approved")
    row = home.database.execute("SELECT * FROM contracts").fetchone()
    before = entry_of(home, ledger.verify())
    approvals.decide(digest, stop, "stop")
    last = ledger.verify()
    marks = ", ".join("?" * len(row))
    home.database.execute(f"REPLACE INTO contracts VALUES ({marks})", row)  # noqa: S608
    assert cause_of(approvals.check(digest)) == (f"contract.{stop}", stop)
    if replayed == "over":
        home.database.execute("DELETE FROM ledger WHERE seq = ?", (last,))
        last -= 1
    home.database.execute(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)", (last + 1, *before)
    )
    assert isinstance(approvals.check(digest), Decision)
    with pytest.raises(IntegrityError):
        ledger.verify()


def test_an_approval_by_another_key_is_none(
    home: Home, approvals: Approvals, filed: str, tmp_path: Path
):
    folder = tmp_path / "forged"
    folder.mkdir()
    forger = Ledger(home, SiteKeys(folder))
    forger.record("decision", {"contract": filed, "status": "approved", "note": ""})
    assert cause_of(approvals.check(filed)) == ("contract.pending", "not-approved")


def test_a_denial_made_an_approval_is_none(
    home: Home, approvals: Approvals, filed: str
):
    approvals.decide(filed, "denied", "no")
    home.database.execute(
        "UPDATE ledger SET body = replace(body, 'denied', 'approved')"
    )
    assert cause_of(approvals.check(filed)) == ("contract.pending", "not-approved")


def test_a_note_cannot_be_put_into_the_owners_mouth(
    home: Home, approvals: Approvals, filed: str
):
    approvals.decide(filed, "denied", "no")
    home.database.execute("UPDATE ledger SET body = replace(body, '\"no\"', '\"x\"')")
    assert approvals.find(filed).note == ""


LOOSENED = canonical(contract_of(purpose="something else"))
LEFT_OUT = canonical(contract_of()).replace(b',"standing":false', b"")


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"{}", LOOSENED, LEFT_OUT, "text", 5], ids=range(7)
)
def test_other_bytes_under_an_approved_hash_are_not_in_force(
    home: Home, approvals: Approvals, ledger: Ledger, filed: str, body: object
):
    approvals.decide(filed, "approved")
    other = file(approvals, contract_of(nonce="1"))
    home.database.execute("UPDATE contracts SET body = ? WHERE hash = ?", (body, filed))
    for reader in (approvals, Approvals(home, ledger)):
        assert cause_of(reader.check(filed)) == ("contract.stored", "edited")
        assert reader.find(filed) is None
        assert [f.hash for f in reader.all()] == [other]
        assert reader.unreadable() == (filed,)
        with pytest.raises(InputError) as caught:
            reader.decide(filed, "revoked")
        assert str(caught.value) == (
            f"Contract {filed[:12]} cannot be read: its stored bytes are not its own. "
            "Have it proposed again."
        )


@pytest.mark.parametrize("body", [b"\x00", b"{}", LEFT_OUT], ids=range(3))
def test_bytes_under_a_hash_made_for_them_are_no_contract(
    home: Home, approvals: Approvals, filed: str, body: bytes
):
    forged = sha256_hex(body)
    home.database.execute("UPDATE contracts SET body = ?, hash = ?", (body, forged))
    assert approvals.unreadable() == (forged,)
    assert cause_of(approvals.check(forged)) == ("contract.stored", "edited")
    assert cause_of(approvals.check(filed)) == ("contract.known", "unknown-contract")


def test_a_time_that_is_none_hides_no_contract(
    home: Home, approvals: Approvals, filed: str
):
    home.database.execute("UPDATE contracts SET received = 'noon'")
    assert [(f.hash, f.received) for f in approvals.all()] == [(filed, 0.0)]


def test_proposing_again_repairs_the_stored_bytes(
    home: Home, approvals: Approvals, ledger: Ledger
):
    contract = contract_of()
    digest = file(approvals, contract)
    approvals.decide(digest, "approved")
    home.database.execute("UPDATE contracts SET body = x'00'")
    assert file(approvals, contract) == digest
    assert approvals.unreadable() == ()
    assert approvals.check(digest).contract == contract
    assert ledger.verify() == 2

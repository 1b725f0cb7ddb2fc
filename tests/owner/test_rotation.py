"""Keys that are rotated, lost or copied, and what each party is told."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError, IntegrityError
from fednb.owner.site_owner import SiteOwner
from fednb.privacy.signatures import signature_holds
from fednb.records.base import canonical
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger
from fednb.site.server import SiteServer

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Scientist


@pytest.fixture
def decided(registered: SiteOwner, ada: Scientist):
    """A home with one approved, one denied and one pending contract; no server."""
    server = SiteServer(registered.path)
    for i in range(3):
        ada.propose(server, ada.contract(registered, nonce=str(i)))
    registered.requests[2].approve()
    registered.requests[1].deny(reason="no")
    server.close()
    return registered


def key_of(owner: SiteOwner) -> str:
    return owner.datasets["glioma"].card.signing_key


def test_a_rotation_is_signed_over_and_ends_every_contract(decided: SiteOwner):
    old, salt = key_of(decided), (decided.path / "keys" / "salt").read_bytes()
    fingerprint = decided.fingerprint
    count = decided.ledger.verify().count
    assert decided.rotate_keys() is decided
    assert decided.fingerprint != fingerprint
    assert key_of(decided) != old
    entries = decided.ledger.entries[count:]
    assert [e.kind for e in entries] == ["keys", "decision", "decision"]
    turn = entries[0].body
    assert (turn["old"], turn["new"]) == (old, key_of(decided))
    assert (turn["lost"], turn["salt"]) == (False, "kept")
    row = decided._ledger.rows()[count]
    assert signature_holds(old, row[-1], bytes.fromhex(row[-2]))
    assert [r.status for r in decided.requests] == ["denied", "denied", "revoked"]
    assert decided.requests[0].note == (
        "The site's keys were changed; have it requested anew."
    )
    assert decided.ledger.verify().count == count + 3
    assert (decided.path / "keys" / "salt").read_bytes() == salt
    modes = {p.stat().st_mode & 0o777 for p in (decided.path / "keys").iterdir()}
    assert modes == {0o600}


def test_rotated_twice_everything_still_holds(decided: SiteOwner, ada: Scientist):
    decided.rotate_keys().rotate_keys()
    server = SiteServer(decided.path)
    assert ada.propose(server, ada.contract(decided, nonce="9")).status == "pending"
    server.close()
    assert decided.requests[0].approve().status == "approved"
    assert (
        SiteOwner(decided.path).ledger.verify().count == decided.ledger.verify().count
    )


def test_cards_bear_the_new_key(decided: SiteOwner):
    decided.rotate_keys()
    body, signature = decided._home.database.execute(
        "SELECT card, card_signature FROM datasets"
    ).fetchone()
    assert body == canonical(decided.datasets["glioma"].card)
    assert signature_holds(key_of(decided), signature, body)


def test_a_rotation_waits_for_the_server_to_stop(registered: SiteOwner):
    before = registered.fingerprint
    server = SiteServer(registered.path)
    with pytest.raises(HomeError, match="Another server already runs"):
        registered.rotate_keys()
    server.close()
    assert SiteOwner(registered.path).fingerprint == before


def test_an_owner_beside_must_open_the_home_anew(registered: SiteOwner):
    beside = SiteOwner(registered.path)
    registered.rotate_keys()
    for attempt in (lambda: beside.policy.set(max_rounds=3), beside.ledger.verify):
        with pytest.raises(IntegrityError, match="open the home anew"):
            attempt()
    assert registered.ledger.verify().count


def test_who_copied_the_old_key_approves_nothing(
    decided: SiteOwner, tmp_path: Path, ada: Scientist
):
    """Rotation is for that: an approval written into the past is void, and found."""
    stolen = tmp_path / "stolen"
    shutil.copytree(decided.path / "keys", stolen)
    approved = decided.requests[2].hash
    decided.rotate_keys()
    home = decided._home
    home.database.execute("DELETE FROM ledger WHERE seq >= 3")
    forger = Ledger(home, SiteKeys(stolen))
    with pytest.raises(IntegrityError, match="keys were changed"):
        forger.record("decision", {"contract": approved, "status": "approved"})
    with home.transaction() as database:
        body = {"contract": approved, "status": "approved", "note": ""}
        forger._append(database, "decision", body, 3, "0" * 64)
    assert SiteOwner(decided.path).requests[approved].status == "pending"
    with pytest.raises(IntegrityError, match="does not hold at entry"):
        SiteOwner(decided.path).ledger.verify()


@pytest.mark.parametrize("name", ["signing.key", "agreement.key", "salt"])
def test_a_lost_key_is_told_and_never_made_up(registered: SiteOwner, name: str):
    registered.close()
    path = registered.path / "keys" / name
    path.unlink()
    for use in (SiteOwner, SiteServer):
        with pytest.raises(IntegrityError) as caught:
            use(registered.path)
        assert str(caught.value).startswith(
            f"{path} is lost. Put it back from a backup"
        )
        assert "fednb site rotate-keys HOME --lost" in str(caught.value)
    assert not path.exists()


def test_a_lost_key_is_replaced_and_the_ledger_says_so(decided: SiteOwner):
    count = decided.ledger.verify().count
    old = key_of(decided)
    (decided.path / "keys" / "signing.key").unlink()
    owner = SiteOwner.replace_lost_keys(decided.path)
    turn = owner.ledger.entries[count].body
    assert (turn["old"], turn["lost"], turn["salt"]) == (old, True, "kept")
    assert owner.ledger.verify().count == count + 3
    assert {r.status for r in owner.requests} == {"denied", "revoked"}
    assert key_of(owner) != old


def test_a_lost_salt_is_written_down(registered: SiteOwner):
    shutil.rmtree(registered.path / "keys")
    owner = SiteOwner.replace_lost_keys(registered.path)
    assert owner.ledger.entries[-1].body["salt"] == "new"
    assert owner.ledger.verify().count == 3


def test_another_sites_key_is_refused(registered: SiteOwner, tmp_path: Path):
    other = SiteOwner.init(tmp_path / "other", "other")
    name = "keys/signing.key"
    shutil.copy(other.path / name, registered.path / name)
    with pytest.raises(IntegrityError, match="is not the key that this site is known"):
        SiteOwner(registered.path)


def test_a_rotation_that_was_cut_short_is_finished(
    registered: SiteOwner, monkeypatch: pytest.MonkeyPatch
):
    """The machine stops after the database has the change, before the files move."""

    def cut(*_: object):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fednb.site.keys._settle", cut)
        known = registered._home.get("signing_key")
        patch.setattr("fednb.owner.keys.SiteKeys", _unchecked(SiteKeys, cut))
        with pytest.raises(KeyboardInterrupt):
            registered.rotate_keys()
    again = SiteOwner(registered.path)
    assert again._home.get("signing_key") != known
    assert again._keys.signing_public == again._home.get("signing_key")
    assert again.ledger.verify().count == 3
    assert not list((registered.path / "keys").glob("*.next"))


def _unchecked(real: type[SiteKeys], cut):
    """Return a factory of keys that is cut off when it would move files."""
    calls: list[str] = []

    def make(folder: Path, known: str = "", suffix: str = "") -> SiteKeys:
        calls.append(known)
        if known and len(calls) > 1:
            cut()
        return real(folder, suffix=suffix)

    return make


def test_a_scientist_with_a_new_key_is_a_stranger(
    decided: SiteOwner, impostor: Scientist
):
    """A lost scientist's key needs no procedure here: owners see another key."""
    server = SiteServer(decided.path)
    impostor.propose(server, impostor.contract(decided, nonce="7"))
    server.close()
    notes = " ".join(decided.requests[0].notes)
    assert "First contract of this key" in notes
    assert "came with another key before" in notes
    assert decided.requests[0].changes.all == ()

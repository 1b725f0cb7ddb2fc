"""Homes that are full, newer, held by another, or cut off."""

from __future__ import annotations

import pytest
from clinics import federate
from counterparty import approved, drafted, query, released, releases, send

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.coordinator.store import Store
from fednb.embedded.federation import Federation
from fednb.errors import HomeError, IntegrityError
from fednb.owner import SiteOwner
from fednb.records.messages import Ping, Refusal
from fednb.site.home import Home
from fednb.site.server import SiteServer


def fill(fed, site: str) -> None:
    """Let the site's database grow no more, as on a full disk."""
    database = fed._servers[site]._home.database
    database.execute("VACUUM")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")


def free(fed, site: str) -> None:
    fed._servers[site]._home.database.execute("PRAGMA max_page_count = 1000000")


def test_on_a_full_disk_nothing_leaves_and_nothing_is_half_written(fresh):
    contract = approved(fresh, drafted(fresh))
    kept, _ = released(fresh, "a", ask := query(fresh, "a", contract))
    fill(fresh, "a")
    before = releases(fresh, "a")
    refusal = None
    for _ in range(200):
        later = query(fresh, "a", contract)
        frame, reply = send(fresh, "a", later)
        if isinstance(reply, Refusal):
            refusal = reply
            break
        before += 1
    assert refusal is not None
    assert refusal.cause == "storage"
    assert len(frame) == PROTOCOL_FRAME_BYTES
    assert releases(fresh, "a") == before
    # what was released before is there, byte for byte
    assert released(fresh, "a", ask)[0] == kept
    free(fresh, "a")
    released(fresh, "a", later)
    assert releases(fresh, "a") == before + 1


def write_until_full(owner: SiteOwner) -> None:
    for rounds in range(1, 500):
        owner.policy.set(max_rounds=rounds)


def test_an_owner_on_a_full_disk_is_told_what_to_do(fresh):
    contract = drafted(fresh)
    approved(fresh, drafted(fresh))
    owner = fresh.owner("a")
    owner._home.database.execute("VACUUM")
    (pages,) = owner._home.database.execute("PRAGMA page_count").fetchone()
    owner._home.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError) as error:
        write_until_full(owner)
    assert str(error.value) == (
        f"The database in {owner.path} could not be read or written (database or disk "
        "is full). Free disk space, or close what holds it; nothing was half-written."
    )
    fresh.owner("a").ledger.verify()
    assert contract.hash()


def test_a_home_of_a_newer_schema_is_not_touched(tmp_path):
    with federate(tmp_path) as fed:
        path = fed.owner("a").path
    home = Home(path)
    home.database.execute("PRAGMA user_version = 99")
    home.close()
    before = (path / "site.sqlite").read_bytes()
    for opening in (Home, SiteServer, SiteOwner):
        with pytest.raises(HomeError, match=r"99") as error:
            opening(path)
        assert str(path) in str(error.value)
    assert (path / "site.sqlite").read_bytes() == before


def test_a_coordinator_of_a_newer_schema_is_not_touched(tmp_path):
    Store(tmp_path / "c").close()
    store = Store(tmp_path / "c")
    store.database.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(HomeError, match=r"99"):
        Store(tmp_path / "c")


def test_two_servers_on_one_home(fresh):
    path = fresh.owner("a").path
    with pytest.raises(HomeError) as error:
        SiteServer(path)
    assert str(error.value) == (
        f"Another server already runs on {path}: of another notebook or program, or of "
        "an earlier federation of this one. End that (shut its kernel down, or call "
        ".close()), or open another home; "
        "the panel and `fednb site` work beside it."
    )
    assert send(fresh, "a", Ping())[1].status == "ready"
    assert fresh.owner("a").requests is not None


def test_two_federations_on_the_same_homes_leave_the_first_one_whole(tmp_path):
    with federate(tmp_path) as fed:
        homes = {s: tmp_path / s for s in ("a", "b", "c")}
        with pytest.raises(HomeError, match=r"^Another server already runs on"):
            Federation(homes, tmp_path / "elsewhere")
        assert fed["a"].ping().status == "ready"
    # and once it is closed, another may serve them
    with Federation(homes, tmp_path / "elsewhere") as again:
        assert again["a"].ping().status == "ready"


def test_a_half_opened_federation_lets_go_of_what_it_took(tmp_path):
    """The second site is held: the first must not stay locked by the attempt."""
    with federate(tmp_path, "a", "b") as fed:
        fed._servers["a"].close()
        homes = {s: tmp_path / s for s in ("a", "b")}
        with pytest.raises(HomeError):
            Federation(homes, tmp_path / "elsewhere")
        server = SiteServer(tmp_path / "a")
        server.close()


def test_a_missing_home_is_named(tmp_path):
    with pytest.raises(HomeError) as error:
        SiteServer(tmp_path / "nowhere")
    assert str(error.value) == (
        f"There is no home at {tmp_path / 'nowhere'}: site.sqlite is missing."
    )


def test_a_ledger_that_was_cut_off_shows_against_what_left(fresh):
    contract = approved(fresh, drafted(fresh))
    _, first = released(fresh, "a", query(fresh, "a", contract))
    _, last = released(fresh, "a", query(fresh, "a", contract))
    home = fresh._servers["a"]._home
    with home.transaction() as database:
        database.execute("DELETE FROM ledger WHERE seq = (SELECT MAX(seq) FROM ledger)")
    owner = fresh.owner("a")
    owner.ledger.verify([first.head])
    with pytest.raises(IntegrityError, match=last.head):
        owner.ledger.verify([first.head, last.head])

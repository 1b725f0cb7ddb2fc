from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError, IntegrityError
from fednb.privacy.signatures import signature_holds
from fednb.site.home import Home
from fednb.site.keys import SiteKeys
from fednb.site.ledger import GENESIS, Ledger

if TYPE_CHECKING:
    from pathlib import Path

TEN = 10


@pytest.fixture
def ledger(home: Home, keys: SiteKeys):
    ledger = Ledger(home, keys)
    for i in range(TEN):
        ledger.record("decision", {"number": i})
    return ledger


def broken_at(entry: int):
    return (
        f"^The ledger does not hold at entry {entry}: it was changed, removed or "
        "reordered. Keep the file and compare a backup.$"
    )


def test_an_empty_ledger_holds(home: Home, keys: SiteKeys):
    empty = Ledger(home, keys)
    assert empty.verify() == 0
    assert empty.entries() == ()


def test_the_chain_can_be_recomputed_by_hand(ledger: Ledger, keys: SiteKeys):
    previous = GENESIS
    rows = ledger._home.database.execute("SELECT signature FROM ledger ORDER BY seq")
    for entry, (signature,) in zip(ledger.entries(), rows, strict=True):
        body = json.dumps(entry.body, sort_keys=True, separators=(",", ":"))
        fields = (str(entry.seq), repr(entry.time), entry.kind, body, previous)
        digest = hashlib.sha256("\x1f".join(fields).encode()).hexdigest()
        assert (entry.hash, entry.previous) == (digest, previous)
        assert signature_holds(keys.signing_public, signature, bytes.fromhex(digest))
        previous = digest
    assert ledger.verify() == TEN


@pytest.mark.parametrize(
    "change",
    [
        "body = '{\"number\":99}'",
        "body = replace(body, ':4', ':5')",
        "kind = 'release'",
        "time = time + 1",
        "signature = zeroblob(64)",
        "signature = 'text'",
        "signature = 5",
        "hash = substr(hash, 2) || '0'",
        "hash = x'00'",
        "previous = hash",
        "time = 'noon'",
    ],
)
def test_a_changed_entry_is_named(home: Home, ledger: Ledger, change: str):
    statement = f"UPDATE ledger SET {change} WHERE seq = 5"  # noqa: S608
    home.database.execute(statement)
    with pytest.raises(IntegrityError, match=broken_at(5)):
        ledger.verify()


def test_one_flipped_bit_of_a_body_is_found(home: Home, ledger: Ledger):
    (body,) = home.database.execute("SELECT body FROM ledger WHERE seq = 3").fetchone()
    flipped = body[:-2] + chr(ord(body[-2]) ^ 1) + body[-1]
    home.database.execute("UPDATE ledger SET body = ? WHERE seq = 3", (flipped,))
    with pytest.raises(IntegrityError, match=broken_at(3)):
        ledger.verify()


@pytest.mark.parametrize("body", ["'{'", "'[1]'", "5", "CAST(x'7bff7d' AS TEXT)"])
def test_an_entry_that_cannot_be_read_is_named(home: Home, ledger: Ledger, body: str):
    home.database.execute(f"UPDATE ledger SET body = {body} WHERE seq = 4")  # noqa: S608
    with pytest.raises(IntegrityError, match=broken_at(4)):
        ledger.entries()


def test_the_newest_decision_on_a_contract_is_found(home: Home, ledger: Ledger):
    assert ledger.decision("a") is None
    ledger.record("decision", {"contract": "a", "status": "approved"})
    ledger.record("decision", {"contract": "b", "status": "denied"})
    ledger.record("decision", {"contract": "a", "status": "revoked"})
    ledger.record("refusal", {"contract": "a", "status": "approved"})
    found = ledger.decision("a")
    assert (found.seq, found.body["status"]) == (TEN + 3, "revoked")
    assert found == ledger.entries()[TEN + 2]
    assert ledger.decision("b").body["status"] == "denied"


def test_the_newest_decision_is_looked_up_in_an_index(home: Home, ledger: Ledger):
    statements: list[str] = []
    home.database.set_trace_callback(statements.append)
    ledger.decision("a")
    home.database.set_trace_callback(None)
    (plan,) = home.database.execute("EXPLAIN QUERY PLAN " + statements[0]).fetchall()
    assert plan[-1] == "SEARCH ledger USING INDEX decisions (contract=?)"


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, 'denied', 'approved')",
        "signature = zeroblob(64)",
        "time = 0",
        "seq = 99",
    ],
)
def test_a_decision_that_was_changed_is_none(home: Home, ledger: Ledger, change: str):
    ledger.record("decision", {"contract": "a", "status": "denied"})
    home.database.execute(f"UPDATE ledger SET {change} WHERE seq = 11")  # noqa: S608
    assert ledger.decision("a") is None


def test_an_entry_rewritten_by_another_key_is_found(
    home: Home, ledger: Ledger, tmp_path: Path
):
    """Whoever can write the file but lacks the site's key cannot redo the chain."""
    forger = Ledger(home, SiteKeys(_folder(tmp_path / "forged")))
    home.database.execute("DELETE FROM ledger WHERE seq > 8")
    forger.record("decision", {"number": 8})
    with pytest.raises(IntegrityError, match=broken_at(9)):
        ledger.verify()


def test_a_removed_entry_is_named(home: Home, ledger: Ledger):
    home.database.execute("DELETE FROM ledger WHERE seq = 4")
    with pytest.raises(IntegrityError, match=broken_at(4)):
        ledger.verify()


def test_a_removed_entry_is_found_where_the_rest_moved_up(home: Home, ledger: Ledger):
    home.database.execute("DELETE FROM ledger WHERE seq = 4")
    for seq in range(5, TEN + 1):
        home.database.execute("UPDATE ledger SET seq = ? WHERE seq = ?", (seq - 1, seq))
    with pytest.raises(IntegrityError, match=broken_at(4)):
        ledger.verify()


def test_reordered_entries_are_named(home: Home, ledger: Ledger):
    for old, new in ((6, 100), (7, 6), (100, 7)):
        home.database.execute("UPDATE ledger SET seq = ? WHERE seq = ?", (new, old))
    with pytest.raises(IntegrityError, match=broken_at(6)):
        ledger.verify()


def test_a_cut_off_tail_shows_against_a_head_kept_elsewhere(home: Home, ledger: Ledger):
    head = ledger.record("release", {"number": TEN})
    assert ledger.verify((head,)) == TEN + 1
    home.database.execute("DELETE FROM ledger WHERE seq > 7")
    assert ledger.verify() == 7  # alone, a shorter chain holds: hence the heads
    with pytest.raises(IntegrityError) as caught:
        ledger.verify((head,))
    assert str(caught.value) == (
        f"The ledger's tail was cut off: head {head} is missing."
    )


def test_an_entry_is_undone_with_the_transaction_around_it(home: Home, ledger: Ledger):
    def interrupted():
        with home.transaction() as database:
            ledger.append(database, "release", {"lost": 1})
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert ledger.verify() == TEN


def test_a_full_disk_leaves_a_ledger_that_holds(home: Home, ledger: Ledger):
    (pages,) = home.database.execute("PRAGMA page_count").fetchone()
    home.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError, match="database or disk is full"):
        ledger.record("decision", {"long": "x" * 100_000})
    assert ledger.verify() == TEN
    home.database.execute("PRAGMA max_page_count = 1000000")
    ledger.record("decision", {"number": TEN})
    assert ledger.verify() == TEN + 1


def test_two_threads_append_to_one_chain(home: Home, ledger: Ledger):
    def work(name: str):
        mine = Home(home.path)
        book = Ledger(mine, SiteKeys(mine.folder("keys")))
        for i in range(50):
            book.record("decision", {name: i})
        mine.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.verify() == TEN + 100
    for name in "ab":
        got = [e.body[name] for e in ledger.entries() if name in e.body]
        assert got == list(range(50))


APPEND = """
import sys
from fednb.site.home import Home
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger
home = Home(sys.argv[1])
ledger = Ledger(home, SiteKeys(home.folder("keys")))
sys.stdin.readline()
for i in range(50):
    ledger.record("decision", {sys.argv[2]: i})
"""


def test_two_processes_append_to_one_chain(home: Home, ledger: Ledger):
    processes = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", APPEND, str(home.path), name],
            stdin=subprocess.PIPE,
        )
        for name in "ab"
    ]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.close()
    for process in processes:
        process.wait(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert ledger.verify() == TEN + 100
    for name in "ab":
        got = [e.body[name] for e in ledger.entries() if name in e.body]
        assert got == list(range(50))


def _folder(path: Path):
    path.mkdir(mode=0o700)
    return path

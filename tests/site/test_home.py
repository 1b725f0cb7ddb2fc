from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError
from fednb.site.home import Home, put

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


def test_settings_are_kept(home: Home):
    assert home.get("name") == ""
    with home.transaction() as database:
        put(database, "name", "first")
        put(database, "name", "ucsf")
    again = Home(home.path)
    assert again.get("name") == "ucsf"
    again.close()


def test_the_schema_has_every_table_of_a_site(home: Home):
    rows = home.database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = {name for (name,) in rows}
    assert names == {
        *("site", "datasets", "contracts", "calls", "runs", "ledger"),
        *("cohort_patients", "cohorts", "answered_sites", "fits", "peers"),
        "charges",
    }


def test_a_home_of_a_newer_schema_is_refused(home: Home):
    home.database.execute("PRAGMA user_version = 99")
    with pytest.raises(HomeError) as caught:
        Home(home.path)
    assert str(caught.value) == (
        f"{home.path} has schema 99, made by a newer fednb; this one knows schema 6. "
        "Update fednb to open it."
    )


OF_SCHEMA_1 = """
    CREATE TABLE contracts (
        hash TEXT PRIMARY KEY, body BLOB NOT NULL, signature BLOB NOT NULL,
        received REAL NOT NULL, status TEXT NOT NULL, decided REAL, note TEXT,
        owner_signature BLOB);
    CREATE TABLE calls (
        id TEXT PRIMARY KEY, digest TEXT NOT NULL, contract TEXT NOT NULL,
        step INTEGER NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL,
        attempt INTEGER NOT NULL, reply BLOB, reply_path TEXT, answered REAL NOT NULL,
        UNIQUE (contract, step, run, round, attempt));
    CREATE INDEX calls_by_run ON calls (contract, run, step, round);
    CREATE TABLE ledger (
        seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL,
        body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL,
        signature BLOB NOT NULL);
    INSERT INTO contracts VALUES ('a', x'01', x'02', 3.0, 'approved', 4.0, 'n', x'05');
    INSERT INTO ledger VALUES
        (1, 3.0, 'decision', '{"contract":"a","status":"pending"}', '', 'h', x'00'),
        (2, 3.5, 'refusal', '{"contract":"a"}', 'h', 'i', x'00'),
        (3, 4.0, 'decision', 'not JSON', 'i', 'j', x'00');
"""


def test_a_home_of_an_older_schema_keeps_contracts_and_ledger(tmp_path: Path):
    with sqlite3.connect(tmp_path / "site.sqlite") as database:
        database.executescript(OF_SCHEMA_1 + "PRAGMA user_version = 1;")
    database.close()
    home = Home(tmp_path)
    assert home.database.execute("SELECT * FROM contracts").fetchall() == [
        ("a", b"\x01", b"\x02", 3.0)
    ]
    about = home.database.execute("SELECT seq, contract FROM ledger").fetchall()
    assert about == [(1, "a"), (2, "a"), (3, None)]
    home.close()


def test_no_home_is_no_home(tmp_path: Path):
    with pytest.raises(HomeError, match="There is no home at"):
        Home(tmp_path)


INSERT = "INSERT INTO calls VALUES (?, 'd', 'contract', 0, 'run', 1, 0, x'', '', 0.0)"


def test_one_place_in_a_run_has_one_answer(home: Home):
    """The schema itself holds law 5, whatever the code above it does."""
    home.database.execute(INSERT, ("first",))
    with pytest.raises(HomeError, match="refused a record"):
        home.database.execute(INSERT, ("second",))

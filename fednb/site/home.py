"""A site's home folder: one SQLite file, keys, and folders for what stays there.

::

    home/
      site.sqlite     contracts, calls, answered cohorts, ledger with decisions (WAL,
                      synchronous=FULL)
      keys/           private keys and the salt, mode 0600
      policy.toml     what the owner allows
      releases/       bytes of large releases, for retries
      work/           caches, embeddings, strategy state
      states/         states of training steps as the site derived them
      mock/           mock halves of the datasets
      syft/           derived from the database, can be rebuilt
      server.lock     held by the one server
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fednb.storage import Folder

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE site (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE datasets (
        name TEXT PRIMARY KEY, manifest BLOB NOT NULL, card BLOB NOT NULL,
        card_signature BLOB NOT NULL, table_path TEXT NOT NULL,
        images_path TEXT NOT NULL, mock_path TEXT NOT NULL, created REAL NOT NULL);
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
    CREATE TABLE runs (
        run TEXT NOT NULL, step INTEGER NOT NULL, contract TEXT NOT NULL,
        state BLOB NOT NULL, PRIMARY KEY (run, step));
    CREATE TABLE ledger (
        seq INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL,
        body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL,
        signature BLOB NOT NULL);
    """,
    # Where a contract stands is its newest decision in the ledger, and nothing else:
    # a copy beside it could be set back to an approval that was revoked.
    """
    ALTER TABLE ledger ADD COLUMN contract TEXT
        AS (iif(json_valid(body), json_extract(body, '$.contract'), NULL)) VIRTUAL;
    CREATE INDEX decisions ON ledger (contract, seq) WHERE kind = 'decision';
    ALTER TABLE contracts DROP COLUMN status;
    ALTER TABLE contracts DROP COLUMN decided;
    ALTER TABLE contracts DROP COLUMN note;
    ALTER TABLE contracts DROP COLUMN owner_signature;
    """,
    # Answered cohorts as sets of bits; bit i is the i-th salted id of cohort_patients,
    # 16 bytes each, in the order of its rows. Values as they were before any mask.
    """
    CREATE TABLE cohort_patients (id INTEGER PRIMARY KEY, salted BLOB NOT NULL);
    CREATE TABLE cohorts (
        id INTEGER PRIMARY KEY, statistic TEXT NOT NULL, cell TEXT NOT NULL,
        size INTEGER NOT NULL, members BLOB NOT NULL, value BLOB NOT NULL,
        threshold INTEGER NOT NULL, answered REAL NOT NULL);
    CREATE INDEX cohorts_by_statistic ON cohorts (statistic, size);
    CREATE TABLE answered_sites (
        statistic TEXT NOT NULL, sites TEXT NOT NULL, PRIMARY KEY (statistic, sites));
    """,
    # Fits that were begun, by run and step: `fit` names cohorts, outcome and design.
    # Keys of other sites that the owner, or who made all sites at once, vouches for.
    """
    CREATE TABLE fits (
        run TEXT NOT NULL, step INTEGER NOT NULL, fit TEXT NOT NULL,
        outcome TEXT NOT NULL, answered REAL NOT NULL, PRIMARY KEY (run, step));
    CREATE INDEX fits_by_outcome ON fits (outcome, fit);
    CREATE INDEX fits_by_name ON fits (fit);
    CREATE TABLE peers (
        site TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, how TEXT NOT NULL,
        since REAL NOT NULL);
    """,
    # What training under differential privacy spends, by call; `inputs` is a hash of
    # what was trained from. Calls of one place and inputs are one charge.
    """
    CREATE TABLE charges (
        call TEXT PRIMARY KEY, dataset TEXT NOT NULL, requester TEXT NOT NULL,
        contract TEXT NOT NULL, step INTEGER NOT NULL, run TEXT NOT NULL,
        round INTEGER NOT NULL, inputs TEXT NOT NULL, noise_multiplier REAL NOT NULL,
        sampling_rate REAL NOT NULL, steps INTEGER NOT NULL, spent INTEGER NOT NULL,
        time REAL NOT NULL);
    CREATE INDEX charges_by_budget ON charges (dataset, requester);
    CREATE INDEX charges_by_place ON charges (contract, step, run, round);
    """,
    # The unique index on a call's place answers what this one did.
    """
    DROP INDEX calls_by_run;
    """,
)


class Home(Folder):
    """A site's folder and its database.

    Parameters
    ----------
    path
        The folder; created with mode 0700 where it is missing.
    create
        Whether to create a missing home.

    Raises
    ------
    HomeError
        There is no home there, it cannot be written, or a newer fednb made it.
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        super().__init__(path, "site.sqlite", _MIGRATIONS, create=create)

    def get(self, key: str) -> str:
        """Return a setting of the site, or an empty string."""
        row = self.database.execute(
            "SELECT value FROM site WHERE key = ?", (key,)
        ).fetchone()
        return str(row[0]) if row else ""


def put(database: sqlite3.Connection, key: str, value: str) -> None:
    """Store a setting of the site.

    Parameters
    ----------
    database
        A connection inside ``home.transaction()``.
    key, value
        As `Home.get` reads them.
    """
    database.execute(
        "INSERT INTO site VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )

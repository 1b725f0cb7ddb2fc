"""The ledger: decisions, refusals, publications and releases, chained and signed.

An entry's hash covers its number, time, kind, body and the hash before it; the site
signs each hash. A changed, removed or reordered entry breaks the chain at its number; a
cut-off tail shows against the signed heads that releases carried.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fednb.errors import IntegrityError
from fednb.site.keys import SiteKeys, signature_holds

if TYPE_CHECKING:
    import sqlite3

    from fednb.site.home import Home

GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes
    ----------
    seq
        Number, from 1.
    time
        Unix time in seconds.
    kind
        ``"decision"``, ``"refusal"``, ``"publication"``, ``"release"``, ``"dataset"``.
    body
        What happened, as plain values.
    previous, hash
        The chain.
    """

    seq: int
    time: float
    kind: str
    body: dict[str, Any]
    previous: str
    hash: str


class Ledger:
    """Appends to and checks the ledger of a home.

    Parameters
    ----------
    home
        The site's home.
    keys
        The site's keys.
    """

    def __init__(self, home: Home, keys: SiteKeys) -> None:
        self._home = home
        self._keys = keys

    def append(
        self, database: sqlite3.Connection, kind: str, body: dict[str, Any]
    ) -> tuple[str, bytes]:
        """Add an entry inside the caller's transaction.

        Parameters
        ----------
        database
            A connection inside ``home.transaction()``: the head is read there.
        kind, body
            See `Entry`.

        Returns
        -------
        hash, signature
            The new head and the site's signature of it.
        """
        row = database.execute(
            "SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        seq, previous = (row[0] + 1, row[1]) if row else (1, GENESIS)
        now = time.time()
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        digest = _digest(seq, now, kind, text, previous)
        signature = self._keys.sign(bytes.fromhex(digest))
        database.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, now, kind, text, previous, digest, signature),
        )
        return digest, signature

    def record(self, kind: str, body: dict[str, Any]) -> tuple[str, bytes]:
        """Add an entry in a transaction of its own."""
        with self._home.transaction() as database:
            return self.append(database, kind, body)

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, oldest first."""
        rows = self._home.database.execute(
            "SELECT seq, time, kind, body, previous, hash FROM ledger ORDER BY seq"
        )
        return tuple(
            Entry(seq, when, kind, json.loads(text), previous, digest)
            for seq, when, kind, text, previous, digest in rows
        )

    def verify(self, heads: tuple[str, ...] = ()) -> int:
        """Check the whole chain and return the number of entries.

        Parameters
        ----------
        heads
            Heads kept elsewhere, from releases; each must still be in the chain.

        Raises
        ------
        IntegrityError
            Names the first entry that was changed, removed or reordered, or the head
            that is missing.
        """
        rows = self._home.database.execute("SELECT * FROM ledger ORDER BY seq")
        expected, seen, count = GENESIS, set(), 0
        for seq, when, kind, text, previous, digest, signature in rows:
            count += 1
            broken = (
                seq != count
                or previous != expected
                or digest != _digest(seq, when, kind, text, previous)
                or not signature_holds(
                    self._keys.signing_public, signature, bytes.fromhex(digest)
                )
            )
            if broken:
                message = (
                    f"The ledger does not hold at entry {count}: it was changed, "
                    "removed or reordered. Keep the file and compare a backup."
                )
                raise IntegrityError(message)
            expected = digest
            seen.add(digest)
        for head in heads:
            if head not in seen:
                message = f"The ledger's tail was cut off: head {head} is missing."
                raise IntegrityError(message)
        return count


def _digest(seq: int, when: float, kind: str, text: str, previous: str) -> str:
    line = f"{seq}\x1f{when!r}\x1f{kind}\x1f{text}\x1f{previous}"
    return hashlib.sha256(line.encode()).hexdigest()

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
from typing import TYPE_CHECKING, Any, Final

from fednb.errors import IntegrityError
from fednb.site.keys import SiteKeys, signature_holds

if TYPE_CHECKING:
    import sqlite3

    from fednb.site.home import Home

GENESIS = "0" * 64

_ENTRIES: Final = "SELECT seq, time, kind, body, previous, hash, signature FROM ledger "
_Row = tuple[int, float, str, str, str, str, bytes]


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
        self._signed: set[str] = set()

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
        """Return all entries, oldest first.

        Raises
        ------
        IntegrityError
            An entry cannot even be read; the message names it.
        """
        rows = self._home.database.execute(_ENTRIES + "ORDER BY seq")
        return tuple(_entry(row) for row in rows)

    def decision(self, contract: str) -> Entry | None:
        """Return the newest decision on a contract; None where it does not hold.

        Costs one look into an index, however long the ledger is; a signature is checked
        once. Whether an entry was cut out of the ledger is for `verify` to find.

        Parameters
        ----------
        contract
            The contract's hash.
        """
        row = self._home.database.execute(
            _ENTRIES + "WHERE kind = 'decision' AND contract = ? "
            "ORDER BY seq DESC LIMIT 1",
            (contract,),
        ).fetchone()
        if row is None:
            return None
        known = row[-2] in self._signed and row[-2] == _digest(*row[:-2])
        if not known and not self._holds(row):
            return None
        self._signed.add(row[-2])
        return _entry(row)

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
        rows = self._home.database.execute(_ENTRIES + "ORDER BY seq")
        expected, seen, count = GENESIS, set(), 0
        for row in rows:
            count += 1
            seq, _, _, _, previous, digest, _ = row
            if seq != count or previous != expected or not self._holds(row):
                raise _broken(count)
            expected = digest
            seen.add(digest)
        for head in heads:
            if head not in seen:
                message = f"The ledger's tail was cut off: head {head} is missing."
                raise IntegrityError(message)
        return count

    def _holds(self, row: _Row) -> bool:
        """Whether an entry is as this site signed it, at its number."""
        seq, when, kind, text, previous, digest, signature = row
        return digest == _digest(seq, when, kind, text, previous) and signature_holds(
            self._keys.signing_public, signature, bytes.fromhex(digest)
        )


def _entry(row: _Row) -> Entry:
    seq, when, kind, text, previous, digest, _ = row
    try:
        body = json.loads(text)
    except (ValueError, TypeError) as error:
        raise _broken(seq) from error
    if not isinstance(body, dict):
        raise _broken(seq)
    return Entry(seq, when, kind, body, previous, digest)


def _broken(entry: int) -> IntegrityError:
    message = (
        f"The ledger does not hold at entry {entry}: it was changed, removed or "
        "reordered. Keep the file and compare a backup."
    )
    return IntegrityError(message)


def _digest(seq: int, when: float, kind: str, text: str, previous: str) -> str:
    line = f"{seq}\x1f{when!r}\x1f{kind}\x1f{text}\x1f{previous}"
    return hashlib.sha256(line.encode()).hexdigest()

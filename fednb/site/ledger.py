"""The ledger: decisions, refusals, publications and releases, chained and signed.

An entry's hash covers its number, time, kind, body and the hash before it; the site
signs each hash. A changed, removed or reordered entry breaks the chain at its number; a
cut-off tail shows against the signed heads that releases carried.

Where a site changes its keys, an entry of kind ``"keys"`` names the old and the new one
(`turn`). Entries before it bear the old key's signature, later ones the new key's. It
is signed by the old key, or by the new where the old was lost; the new key's own
signature in it pins the chain up to there, so whoever holds the old key cannot rewrite
what was before, and what it approved is void.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fednb.errors import InputError, IntegrityError
from fednb.privacy.signatures import signature_holds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys

GENESIS = "0" * 64
KNOWN_KEY: Final = "signing_key"
"""Setting of a home: the public key that the site is known by."""

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_HEAD: Final = re.compile(r"[0-9a-f]{64}")

_ENTRIES: Final = "SELECT seq, time, kind, body, previous, hash, signature FROM ledger "
_TIP: Final = (
    "SELECT COALESCE((SELECT value FROM site WHERE key = ?), ''), "
    "COALESCE((SELECT MAX(seq) FROM ledger), 0) + 1, "
    "COALESCE((SELECT hash FROM ledger ORDER BY seq DESC LIMIT 1), ?)"
)
Row = tuple[int, float, str, str, str, str, bytes]


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
        ``"decision"``, ``"refusal"``, ``"publication"``, ``"release"``, ``"dataset"``,
        ``"keys"``.
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
        self._turns: tuple[Turn, ...] | None = None

    def append(
        self, database: sqlite3.Connection, kind: str, body: dict[str, Any]
    ) -> str:
        """Add an entry inside the caller's transaction.

        Parameters
        ----------
        database
            A connection inside ``home.transaction()``: the head is read there.
        kind, body
            See `Entry`.

        Returns
        -------
        hash
            The new head.
        """
        known, seq, previous = _tip(database)
        self._check_current(known)
        return self._append(database, kind, body, seq, previous)

    def _append(
        self,
        database: sqlite3.Connection,
        kind: str,
        body: dict[str, Any],
        seq: int,
        previous: str,
    ) -> str:
        now = time.time()
        text = _encoder.encode(body)
        digest = entry_hash(seq, now, kind, text, previous)
        signature = self._keys.sign(bytes.fromhex(digest))
        database.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, now, kind, text, previous, digest, signature),
        )
        return digest

    def turn(
        self, database: sqlite3.Connection, fresh: SiteKeys, body: dict[str, Any]
    ) -> None:
        """Enter that other keys sign from here on; see the module.

        Parameters
        ----------
        database
            A connection inside ``home.transaction()``.
        fresh
            The new keys; where this ledger signs with them itself, the old are lost.
        body
            With ``old``, the old public key, and what else is worth to be said.
        """
        _, seq, previous = _tip(database)
        named = {"new": fresh.signing_public, "agreement": fresh.agreement_public}
        lost = fresh.signing_public == self._keys.signing_public
        whole = {**body, **named, "lost": lost}
        proof = fresh.sign(_handover(whole, previous)).hex()
        self._append(database, "keys", {**whole, "proof": proof}, seq, previous)

    def record(self, kind: str, body: dict[str, Any]) -> str:
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

    @property
    def key(self) -> str:
        """The site's present public key."""
        return self._keys.signing_public

    def rows(self) -> list[Row]:
        """Return all entries as they are stored, oldest first."""
        return self._home.database.execute(_ENTRIES + "ORDER BY seq").fetchall()

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
        return self.decided(row) if row else None

    def decided(self, row: Row) -> Entry | None:
        """Return a decision as it was entered; None where it does not hold.

        Parameters
        ----------
        row
            The newest of a contract.
        """
        known = row[-2] in self._signed and row[-2] == entry_hash(*row[:-2])
        if not known and not self._holds(row):
            return None
        self._signed.add(row[-2])
        entry = _entry(row)
        turns = self._known_turns()
        # who has an old key may write an approval, but nobody acts on it
        void = (
            turns and entry.seq <= turns[-1].seq and entry.body["status"] == "approved"
        )
        return None if void else entry

    def refusals(self, contract: str, rule: str) -> int:
        """Return how often a rule has stopped calls of a contract.

        Parameters
        ----------
        contract
            The contract's hash.
        rule
            Name of the rule.
        """
        rows: list[Row] = self._home.database.execute(
            _ENTRIES + "WHERE kind = 'refusal' AND contract = ?", (contract,)
        ).fetchall()
        return sum(_entry(row).body.get("rule") == rule for row in rows)

    def verify(self, heads: tuple[str, ...] = ()) -> int:
        """Check the whole chain and return the number of entries.

        Parameters
        ----------
        heads
            Heads kept elsewhere, from releases; each must still be in the chain.

        Raises
        ------
        InputError
            A head is mistyped: it cannot be one.
        IntegrityError
            Names the first entry that was changed, removed or reordered, or the head
            that is missing.
        """
        for head in heads:
            if not _HEAD.fullmatch(head):
                message = f"{head!r} is not a head: a head has 64 hexadecimal digits."
                raise InputError(message)
        self._check_current(self._home.get(KNOWN_KEY))
        self._turns = None
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

    def _check_current(self, known: str) -> None:
        """Refuse to go on with keys that somebody changed beside this."""
        if known and known != self._keys.signing_public:
            message = "The site's keys were changed meanwhile; open the home anew."
            raise IntegrityError(message)

    def _known_turns(self) -> tuple[Turn, ...]:
        """Return the changes of keys that lead to the present one, oldest first."""
        if self._turns is None:
            rows = self._home.database.execute(_ENTRIES + "WHERE kind = 'keys'")
            self._turns = turns_to(self._keys.signing_public, list(rows))
        return self._turns

    def _holds(self, row: Row) -> bool:
        """Whether an entry is as this site signed it, at its number."""
        key = key_at(row[0], self._known_turns(), self._keys.signing_public)
        return entry_holds(row, key)


@dataclass(frozen=True)
class Turn:
    """A change of keys: entries before `seq` bear the old key's signature.

    Attributes
    ----------
    seq
        Number of the entry that says so.
    old, new
        Public keys.
    lost
        Whether the old key was lost: the new one signed the entry itself.
    """

    seq: int
    old: str
    new: str
    lost: bool


def turns_to(key: str, rows: Iterable[Row]) -> tuple[Turn, ...]:
    """Return the changes of keys that lead to a public key, oldest first.

    Parameters
    ----------
    key
        The present public key: what is trusted.
    rows
        Entries of kind ``"keys"`` in order. One that does not lead on is left out, and
        entries signed by its old key do not hold.
    """
    found: list[Turn] = []
    for row in sorted(rows, key=lambda row: row[0], reverse=True):
        body = _entry(row).body
        seq, previous = row[0], row[4]
        if body.get("new") == key and _proven(body, previous):
            found.append(Turn(seq, str(body["old"]), key, bool(body["lost"])))
            key = found[-1].old
    return tuple(reversed(found))


def key_at(seq: int, turns: tuple[Turn, ...], key: str) -> str:
    """Return the public key by which an entry must be signed.

    Parameters
    ----------
    seq
        Number of the entry.
    turns
        From `turns_to`.
    key
        The present public key.
    """
    for turn in turns:
        if seq < turn.seq or (seq == turn.seq and not turn.lost):
            return turn.old
    return key


def entry_holds(row: Row, key: str) -> bool:
    """Whether an entry's hash is its own and signed by a public key."""
    seq, when, kind, text, previous, digest, signature = row
    return digest == entry_hash(seq, when, kind, text, previous) and signature_holds(
        key, signature, bytes.fromhex(digest)
    )


def _tip(database: sqlite3.Connection) -> tuple[str, int, str]:
    """Return the site's known key, the next entry's number, and what it follows."""
    known, seq, previous = database.execute(_TIP, (KNOWN_KEY, GENESIS)).fetchone()
    return known, seq, previous


def _handover(body: dict[str, Any], previous: str) -> bytes:
    """Return what new keys sign: who follows whom, and after which entry."""
    named = (str(body.get(name, "")) for name in ("old", "new", "agreement"))
    return "\x1f".join(("fednb-keys", *named, previous)).encode()


def _proven(body: dict[str, Any], previous: str) -> bool:
    """Whether the new keys of a change vouch for it."""
    try:
        proof = bytes.fromhex(str(body.get("proof", "")))
    except ValueError:
        return False
    return signature_holds(str(body["new"]), proof, _handover(body, previous))


def _entry(row: Row) -> Entry:
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


def entry_hash(seq: int, when: float, kind: str, text: str, previous: str) -> str:
    """Return the hash of an entry; `text` is its body as it was written."""
    line = f"{seq}\x1f{when!r}\x1f{kind}\x1f{text}\x1f{previous}"
    return hashlib.sha256(line.encode()).hexdigest()

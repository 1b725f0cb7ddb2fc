"""A site's ledger as its owner reads it: what happened, why, and whether it holds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import UnknownNameError
from fednb.owner.export import write_crate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fednb.display.html import Html
    from fednb.site.keys import SiteKeys
    from fednb.site.ledger import Entry, Ledger

SHOWN = 20
"""Newest entries in the table; `OwnerLedger.entries` has all."""

_HEADERS = ("entry", "time", "kind", "what", "hash")
_CELL = 120
_VALUE = 1000
_DIGITS = 12
_HASH = re.compile(r"[0-9a-f]{64}")
_WORDS = ("reason", "note")
"""What a person wrote, or is to read: it stands first."""


@dataclass(frozen=True, repr=False)
class LedgerEntry(Shown):
    """One line of the ledger, private to the site.

    Attributes
    ----------
    seq
        Number, from 1.
    time
        Unix time in seconds.
    kind
        See `fednb.site.ledger.Entry`.
    body
        What happened, as plain values.
    hash
        The chain's head with this entry.
    """

    seq: int
    time: float
    kind: str
    body: dict[str, Any]
    hash: str

    @property
    def reason(self) -> str:
        """Why, in the words that stay at the site; empty where none was given."""
        return str(self.body.get("reason") or self.body.get("note") or "")

    def line(self) -> str:
        """Return what happened in one line; `body` has all of it."""
        if self.kind == "release":
            return _release_line(self.body)
        facts = {k: v for k, v in self.body.items() if v not in ("", [], {}, None)}
        first = [str(facts.pop(name)) for name in _WORDS if name in facts]
        rest = [f"{name} {_short(value)}" for name, value in facts.items()]
        return ", ".join((*first, *rest))

    def _pairs(self) -> list[tuple[str, str]]:
        head = [
            ("entry", str(self.seq)),
            ("time", text.utc(int(self.time))),
            ("kind", self.kind),
        ]
        body = [(str(name), _plain(value)) for name, value in self.body.items()]
        return [*head, *body, ("hash", self.hash)]

    def _text(self) -> str:
        return text.fields(self._pairs(), limit=_VALUE)

    def _html(self) -> Html:
        return html.definition_list(
            (html.escape(name), html.escape(value, _VALUE))
            for name, value in self._pairs()
        )


@dataclass(frozen=True, repr=False)
class LedgerCheck(Shown):
    """The outcome of a check that held; one that does not hold is an error.

    Attributes
    ----------
    count
        Number of entries.
    head
        Hash of the newest entry: keep it elsewhere, to find a cut-off tail.
    heads
        How many heads kept elsewhere were found in the chain.
    """

    count: int
    head: str
    heads: int

    def _line(self) -> str:
        count = text.counted(self.count, "entry", "entries")
        kept = f", kept heads found: {self.heads}" if self.heads else ""
        return f"The ledger holds: {count}{kept}. Head: {self.head}"

    def _text(self) -> str:
        return self._line()

    def _html(self) -> Html:
        return html.element("p", html.badge("approved", "holds"), " ", self._line())


class OwnerLedger(Shown):
    """The ledger of a site, as of when it was looked up; shows the newest entries.

    Parameters
    ----------
    ledger
        Of the site.
    site
        Its name.
    keys
        Its keys.

    Raises
    ------
    IntegrityError
        An entry cannot even be read; the message names it.
    """

    def __init__(self, ledger: Ledger, site: str, keys: SiteKeys) -> None:
        self._ledger = ledger
        self._site = site
        self._keys = keys
        self._entries = tuple(_entry(e) for e in ledger.entries())

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """All entries, oldest first."""
        return self._entries

    def verify(self, heads: Iterable[str] = ()) -> LedgerCheck:
        """Check the whole chain and every signature, as it is on disk now.

        Parameters
        ----------
        heads
            Heads kept elsewhere, for example from releases.

        Raises
        ------
        InputError
            A head is mistyped: it cannot be one.
        IntegrityError
            Names the first entry that was changed, removed or reordered, or the head
            that is missing.
        """
        kept = tuple(head.strip().lower() for head in heads)
        count = self._ledger.verify(kept)
        newest = self._ledger.entries()[count - 1].hash if count else ""
        return LedgerCheck(count, newest, len(kept))

    def export(self, path: str | Path) -> Path:
        """Write the ledger as an RO-Crate, which can be checked without this home.

        The owner's notes and reasons are in it: give it to those who may read them.

        Parameters
        ----------
        path
            A folder that is new, or empty.

        Returns
        -------
        path
            The folder.

        Raises
        ------
        IntegrityError
            The ledger does not hold; it is not exported.
        InputError, HomeError
            The folder is not empty, or cannot be written.
        """
        self._ledger.verify()
        folder = Path(path).expanduser()
        return write_crate(folder, self._site, self._ledger.rows(), self._keys)

    def find(self, correlation: str) -> LedgerEntry:
        """Return the refusal of which a requester quotes the id, with its reason.

        Parameters
        ----------
        correlation
            The id that the requester was told.

        Raises
        ------
        UnknownNameError
            This site refused nothing under that id.
        """
        wanted = correlation.strip()
        ids = {e.body["correlation"]: e for e in self._entries if _is_refusal(e)}
        if wanted not in ids:
            raise UnknownNameError("correlation id", wanted, ids)
        return ids[wanted]

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (e.seq, text.utc(int(e.time)), e.kind, e.line(), e.hash[:12])
            for e in reversed(self._entries[-SHOWN:])
        ]

    def _heading(self) -> str:
        total = len(self._entries)
        shown = min(total, SHOWN)
        count = text.counted(total, "entry", "entries")
        return f"Ledger of {count}, the newest {shown} shown"

    def _text(self) -> str:
        grid = text.table(_HEADERS, self._rows(), limit=_CELL)
        return f"{self._heading()}\n\n{grid}"

    def _html(self) -> Html:
        grid = html.table(_HEADERS, self._rows(), limit=_CELL)
        return html.element("div", html.element("p", self._heading()), grid)


def _entry(entry: Entry) -> LedgerEntry:
    return LedgerEntry(entry.seq, entry.time, entry.kind, entry.body, entry.hash)


def _is_refusal(entry: LedgerEntry) -> bool:
    return entry.kind == "refusal" and "correlation" in entry.body


def _release_line(body: dict[str, Any]) -> str:
    """Return what left the site: each output by name, size and how it was sent."""
    outputs = [one for one in body.get("outputs") or () if isinstance(one, dict)]
    sizes = [text.human_bytes(one.get("bytes", 0)) for one in outputs]
    left = ", ".join(
        f"{one.get('name')} ({size}, {one.get('kind')})"
        for one, size in zip(outputs, sizes, strict=True)
    )
    place = [f"{name} {body[name]}" for name in ("step", "round") if name in body]
    contract = f"of contract {_short(body.get('contract', '?'))}"
    return "; ".join(part for part in (left, f"{', '.join(place)} {contract}") if part)


def _short(value: object) -> str:
    """Return a value as it is, of a hash or a key its beginning."""
    shown = _plain(value)
    return shown[:_DIGITS] if _HASH.fullmatch(shown) else shown


def _plain(value: object) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(value, sort_keys=True)

"""Changing a site's keys: by rotation, or because they were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fednb.errors import HomeError
from fednb.site.catalog import Catalog
from fednb.site.home import Home, put
from fednb.site.keys import AGREEMENT, NEXT, SALT, SIGNING, SiteKeys
from fednb.site.ledger import KNOWN_KEY, Ledger

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_NOTE = "The site's keys were changed; have it requested anew."
_ENDS = {"approved": "revoked", "pending": "denied"}


def change_keys(path: Path, *, lost: bool) -> None:
    """Give a site new keys; the server must be stopped.

    The change, the end of every contract that names the old keys, and the cards under
    the new ones are one transaction. The salt stays: splits and the record of answered
    cohorts hang on it.

    Parameters
    ----------
    path
        The home.
    lost
        Whether the old signing key is gone: the entry is then signed by the new key.

    Raises
    ------
    HomeError
        The server runs, there is no key yet, or the home could not be written.
    IntegrityError
        The old keys are not the site's, or are lost and `lost` is False.
    """
    home = Home(path)
    try:
        home.lock()
        known = home.get(KNOWN_KEY) or _first_key(home)
        folder = home.folder("keys")
        old = None if lost else SiteKeys(folder, known)
        salt = (folder / SALT).exists()
        for name in (SIGNING, AGREEMENT):
            (folder / f"{name}{NEXT}").unlink(missing_ok=True)
        fresh = SiteKeys(folder, suffix=NEXT)
        with home.transaction() as database:
            body = {"old": known, "salt": "kept" if salt else "new"}
            Ledger(home, old or fresh).turn(database, fresh, body)
            put(database, KNOWN_KEY, fresh.signing_public)
            _end_contracts(database, Ledger(home, fresh))
            Catalog(home, fresh).sign_anew(database)
        # moves the files; where this is cut short, the next start does it
        SiteKeys(folder, fresh.signing_public)
    finally:
        home.close()


def _first_key(home: Home) -> str:
    """Return the key of a home that was made before keys were remembered."""
    row = home.database.execute(
        "SELECT json_extract(body, '$.key') FROM ledger WHERE seq = 1"
    ).fetchone()
    if row is None or not row[0]:
        message = f"The home at {home.path} has no key to change; initialise it anew."
        raise HomeError(message)
    return str(row[0])


def _end_contracts(database: sqlite3.Connection, book: Ledger) -> None:
    """Revoke what is approved and deny what is pending: all name the old keys."""
    rows: list[tuple[str, Any]] = database.execute(
        "SELECT hash, (SELECT json_extract(body, '$.status') FROM ledger "
        "WHERE kind = 'decision' AND contract = contracts.hash "
        "ORDER BY seq DESC LIMIT 1) FROM contracts"
    ).fetchall()
    for contract, status in rows:
        end = _ENDS.get(str(status or "pending"))
        if end is not None:
            body = {"contract": contract, "status": end, "note": _NOTE}
            book.append(database, "decision", body)

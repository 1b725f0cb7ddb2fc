"""A ledger that leaves for an auditor: an RO-Crate that can be checked by itself.

The crate holds ``ledger.jsonl`` (one entry a line, its body as the text that was
hashed, its signature in hexadecimal), ``keys.json`` (the site's public keys, from which
entry each signs, and the key of agreements, which the fingerprint covers too) and
``ro-crate-metadata.json`` (RO-Crate 1.1). No private key
and no value of a patient is in it; the owner's notes and reasons are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fednb.errors import HomeError, InputError, IntegrityError
from fednb.records.keys import site_fingerprint
from fednb.site.ledger import GENESIS, entry_holds, key_at, turns_to

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.site.keys import SiteKeys
    from fednb.site.ledger import Row, Turn

METADATA: Final = "ro-crate-metadata.json"
ENTRIES: Final = "ledger.jsonl"
KEYS: Final = "keys.json"
_AGREEMENT: Final = "agreement"

_FIELDS: Final = ("seq", "time", "kind", "body", "previous", "hash", "signature")
_RULE: Final = (
    "hash = SHA-256 of seq, time (as Python's repr), kind, body and previous, joined "
    "by the character U+001F. signature = Ed25519 over the 32 bytes of hash, by the "
    "key of keys.json that signs at seq. previous = the hash of the entry before; of "
    "the first, 64 zeros."
)


def write_crate(folder: Path, site: str, rows: list[Row], keys: SiteKeys) -> Path:
    """Write a ledger as an RO-Crate and return its folder.

    Parameters
    ----------
    folder
        New, or empty.
    site
        Its name.
    rows
        All entries, as they are stored.
    keys
        The site's; only public halves are written.

    Raises
    ------
    InputError
        The folder is not empty.
    HomeError
        It cannot be written.
    """
    key = keys.signing_public
    turns = turns_to(key, [row for row in rows if row[2] == "keys"])
    named = {"site": site, "keys": _keys(turns, key), _AGREEMENT: keys.agreement_public}
    files = {
        ENTRIES: "".join(_line(row) for row in rows),
        KEYS: _json(named),
        METADATA: _json(_metadata(site, len(rows), rows[-1][5] if rows else GENESIS)),
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            message = f"{folder} is not an empty folder; choose a new one."
            raise InputError(message)
        folder.mkdir(parents=True, exist_ok=True)
        for name, words in files.items():
            (folder / name).write_text(words, encoding="utf-8")
    except OSError as error:
        message = f"{folder} could not be written ({error.strerror})."
        raise HomeError(message) from error
    return folder


def verify_crate(folder: Path) -> tuple[int, str, str]:
    """Check an exported ledger by its files alone, with no home.

    The fingerprint must be compared with the site's owner: the files say whose they
    are, but only a person knows whether that is so.

    Parameters
    ----------
    folder
        Of an RO-Crate that `write_crate` wrote.

    Returns
    -------
    count, head, fingerprint
        Number of entries, newest hash, fingerprint of the present keys.

    Raises
    ------
    IntegrityError
        Names the first entry that does not hold.
    InputError
        It is not such a crate.
    """
    try:
        lines = (folder / ENTRIES).read_text(encoding="utf-8").splitlines()
        named = json.loads((folder / KEYS).read_text())
        key, agreement = str(named["keys"][-1]["key"]), str(named[_AGREEMENT])
        rows = [_row(json.loads(line)) for line in lines]
        turns = turns_to(key, [row for row in rows if row[2] == "keys"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        message = f"{folder} is not an exported ledger that can be read."
        raise InputError(message) from error
    expected = GENESIS
    for count, row in enumerate(rows, 1):
        holds = entry_holds(row, key_at(row[0], turns, key))
        if row[0] != count or row[4] != expected or not holds:
            message = (
                f"The exported ledger does not hold at entry {count}: it was changed, "
                "removed or reordered. Ask the site's owner for another export."
            )
            raise IntegrityError(message)
        expected = row[5]
    return len(rows), expected, site_fingerprint(key, agreement)


def _line(row: Row) -> str:
    seq, when, kind, body, previous, digest, signature = row
    values = (seq, when, kind, body, previous, digest, signature.hex())
    return json.dumps(dict(zip(_FIELDS, values, strict=True))) + "\n"


def _row(values: dict[str, Any]) -> Row:
    seq, when, kind, body, previous, digest, signature = (values[f] for f in _FIELDS)
    return seq, when, kind, body, previous, digest, bytes.fromhex(signature)


def _keys(turns: tuple[Turn, ...], key: str) -> list[dict[str, object]]:
    """Return who signs: each key with the first entry that bears its signature."""
    first = 1
    found: list[dict[str, object]] = []
    for turn in turns:
        found.append({"key": turn.old, "from": first})
        first = turn.seq if turn.lost else turn.seq + 1
    return [*found, {"key": key, "from": first}]


def _metadata(site: str, count: int, head: str) -> dict[str, object]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    parts = {
        ENTRIES: ("Entries of the ledger, one a line", "application/jsonl"),
        KEYS: ("Public keys, and from which entry each signs", "application/json"),
    }
    files = [
        {"@id": name, "@type": "File", "name": words, "encodingFormat": kind}
        for name, (words, kind) in parts.items()
    ]
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Ledger of {site}",
        "description": f"{count} entries, head {head}. {_RULE}",
        "datePublished": now,
        "license": "For the auditor to whom the site's owner gave it.",
        "hasPart": [{"@id": name} for name in parts],
    }
    context = "https://w3id.org/ro/crate/1.1/context"
    return {"@context": context, "@graph": [descriptor, root, *files]}


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"

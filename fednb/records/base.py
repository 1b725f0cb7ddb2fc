"""The base of everything that travels: a frozen, tagged, strict struct."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from fednb.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_NAME: Final = 200
"""Characters of a name that another party chose: names are kept in ledgers."""

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
"""A name on the wire; a longer one makes the message unreadable."""


_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Record(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A frozen record; its tag is its class name, and unknown fields are refused."""


def is_plain(name: str) -> bool:
    """Whether a name has 1 to 64 letters, digits, ``-`` and ``_``: it names files."""
    return _PLAIN.fullmatch(name) is not None


def check_name(kind: str, name: str) -> None:
    """Refuse a name that is not plain.

    Parameters
    ----------
    kind
        What it names, for example ``"dataset"``.
    name
        What an owner chose.

    Raises
    ------
    InputError
        See `is_plain`.
    """
    if not is_plain(name):
        message = (
            f"The name of a {kind} has 1 to 64 letters, digits, - and _; got {name!r}."
        )
        raise InputError(message)


def canonical(record: Record) -> bytes:
    """Return the canonical bytes of a record: JSON, keys sorted, no white space.

    The same record gives the same bytes on every machine, so their SHA-256 names it.
    Equal records give equal bytes: 18 in a field of fractions is written as 18.0, as
    whoever reads the bytes would write it.

    Raises
    ------
    InputError
        A field holds what it is not declared to hold, or a NaN or an infinity, which
        JSON cannot carry.
    """
    written = msgspec.json.encode(record, order="deterministic")
    try:
        read = msgspec.json.decode(written, type=type(record))
    except msgspec.ValidationError as error:
        message = f"{type(record).__name__} holds what it cannot: {error}."
        raise InputError(message) from error
    return msgspec.json.encode(read, order="deterministic")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is never in memory as a whole.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_hex(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()

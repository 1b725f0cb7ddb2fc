"""The base of everything that travels: a frozen, tagged, strict struct."""

from __future__ import annotations

import hashlib

import msgspec


class Record(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A frozen record; its tag is its class name, and unknown fields are refused."""


def canonical(record: Record) -> bytes:
    """Return the canonical bytes of a record: JSON, keys sorted, no white space.

    The same record gives the same bytes on every machine, so their SHA-256 names it.

    Raises
    ------
    ValueError
        The record holds a NaN or an infinity, which JSON cannot carry.
    """
    return msgspec.json.encode(record, order="deterministic")


def sha256_hex(data: bytes | memoryview) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()

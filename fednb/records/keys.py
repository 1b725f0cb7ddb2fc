"""Fingerprints of public keys: what people compare by telephone."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from fednb.records.base import sha256_hex

DIGITS: Final = 32
"""Hexadecimal digits of a fingerprint."""

_GROUP: Final = 4
_HEX: Final = frozenset("0123456789abcdef")


def key_fingerprint(key: str) -> str:
    """Return the fingerprint of one public key.

    Parameters
    ----------
    key
        The key as hexadecimal digits.

    Returns
    -------
    str
        The first 32 hexadecimal digits of the SHA-256 of `key`'s text, in groups of 4.
    """
    return _fingerprint(key)


def site_fingerprint(signing_key: str, agreement_key: str) -> str:
    """Return the fingerprint of a site: one of its two public keys together.

    Parameters
    ----------
    signing_key, agreement_key
        Ed25519 and X25519 public keys, hexadecimal.

    Returns
    -------
    str
        As `key_fingerprint`, of both texts with the character U+001F between.
    """
    return _fingerprint(f"{signing_key}\x1f{agreement_key}")


def is_fingerprint(text: str) -> bool:
    """Whether a text is a fingerprint; spaces and capitals do not count."""
    digits = digits_of(text)
    return len(digits) == DIGITS and set(digits) <= _HEX


def digits_of(fingerprint: str) -> str:
    """Return a fingerprint as somebody typed it without spaces and capitals."""
    return "".join(fingerprint.split()).lower()


def grouped(digits: str) -> str:
    """Return the digits of a fingerprint in groups of 4, as all of them are shown."""
    return " ".join(digits[i : i + _GROUP] for i in range(0, len(digits), _GROUP))


@lru_cache(maxsize=256)
def _fingerprint(text: str) -> str:
    return grouped(sha256_hex(text.lower().encode())[:DIGITS])

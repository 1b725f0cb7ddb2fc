"""Key agreement on X25519, shared by the secure sum and by sealed boxes.

Source: RFC 7748 (X25519) and RFC 5869 (HKDF).
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fednb.errors import IntegrityError

KEY_BYTES = 32
"""Length of X25519 keys and of every key derived here."""


def public_hex(private_key: X25519PrivateKey) -> str:
    """Return the public half of `private_key` as 64 hexadecimal digits."""
    return private_key.public_key().public_bytes_raw().hex()


def public_bytes(agreement_key: str) -> bytes:
    """Return the 32 bytes of a public key.

    Raises
    ------
    IntegrityError
        `agreement_key` is not 64 hexadecimal digits.
    """
    try:
        raw = bytes.fromhex(agreement_key)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        message = (
            f"An agreement key is 64 hexadecimal digits; got {agreement_key[:80]!r}. "
            "Take it from the site's signed card."
        )
        raise IntegrityError(message)
    return raw


@lru_cache(maxsize=512)
def shared_secret(private_key: X25519PrivateKey, agreement_key: str) -> bytes:
    """Return the 32-byte X25519 secret of a pair of keys; cached for each pair.

    Only the secret is kept, in the memory of the process that holds the private key
    anyway: what is derived from it is derived anew at each use.

    Parameters
    ----------
    private_key
        Own key.
    agreement_key
        The other's public key, 64 hexadecimal digits.

    Raises
    ------
    IntegrityError
        The public key is malformed or of low order.
    """
    peer = X25519PublicKey.from_public_bytes(public_bytes(agreement_key))
    try:
        return private_key.exchange(peer)
    except ValueError as error:
        message = (
            f"The agreement key {agreement_key} has a low order, so that anybody "
            "could compute the shared secret. The site must make a new key."
        )
        raise IntegrityError(message) from error


def derive_key(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return a 32-byte key: HKDF-SHA256 of a shared secret."""
    return HKDF(SHA256(), KEY_BYTES, salt, info).derive(secret)

"""A site's keys: Ed25519 to sign, X25519 to agree on masks, and a secret salt."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fednb.storage import secret_file

if TYPE_CHECKING:
    from pathlib import Path


class SiteKeys:
    """The private keys in a folder; made there on first use, with mode 0600.

    Parameters
    ----------
    folder
        For example ``home/keys``.

    Raises
    ------
    IntegrityError
        A key file is readable by others, or is not a key.
    """

    def __init__(self, folder: Path) -> None:
        self._signing = Ed25519PrivateKey.from_private_bytes(
            secret_file(folder / "signing.key")
        )
        self.agreement = X25519PrivateKey.from_private_bytes(
            secret_file(folder / "agreement.key")
        )
        self._salt = secret_file(folder / "salt")

    @property
    def signing_public(self) -> str:
        """Ed25519 public key, hexadecimal."""
        return self._signing.public_key().public_bytes_raw().hex()

    @property
    def agreement_public(self) -> str:
        """X25519 public key, hexadecimal."""
        return self.agreement.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of `data`, 64 bytes."""
        return self._signing.sign(data)

    def salted(self, *parts: str) -> bytes:
        """Return an HMAC-SHA256 of `parts` under the site's secret salt."""
        message = "\x1f".join(parts).encode()
        return hmac.new(self._salt, message, hashlib.sha256).digest()


def signature_holds(public_key: str, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` belongs to an Ed25519 public key (hex)."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(signature, data)
    except (InvalidSignature, ValueError, TypeError):  # TypeError: text in the database
        return False
    return True

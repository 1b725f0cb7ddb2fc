"""A site's keys: Ed25519 to sign, X25519 to agree on masks, and a secret salt."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fednb.errors import IntegrityError
from fednb.privacy.agreement import public_hex
from fednb.records.keys import site_fingerprint
from fednb.records.outputs import Attestation
from fednb.storage import secret_file

if TYPE_CHECKING:
    from pathlib import Path


SIGNING: Final = "signing.key"
AGREEMENT: Final = "agreement.key"
SALT: Final = "salt"
NEXT: Final = ".next"


class SiteKeys:
    """The private keys in a folder; made there on first use, with mode 0600.

    Parameters
    ----------
    folder
        For example ``home/keys``.
    known
        Public key that the site is known by; empty: a home that is being made. Keys
        that were prepared under it take the place of those that they replace.
    suffix
        Of the key files; ``NEXT`` for keys that will replace the present ones.

    Attributes
    ----------
    signing_public, agreement_public
        Ed25519 and X25519 public keys, hexadecimal.

    Raises
    ------
    IntegrityError
        A key file is missing, readable by others, no key, or another site's.
    """

    def __init__(self, folder: Path, known: str = "", suffix: str = "") -> None:
        if known:
            _settle(folder, known)
        self._signing = _signing(folder / f"{SIGNING}{suffix}")
        self.agreement = X25519PrivateKey.from_private_bytes(
            secret_file(folder / f"{AGREEMENT}{suffix}")
        )
        # copied for each digest: a table of a million patients has as many
        self._salting = hmac.new(secret_file(folder / SALT), digestmod=hashlib.sha256)
        self.signing_public = _public(self._signing)
        self.agreement_public = public_hex(self.agreement)
        if known and self.signing_public != known:
            message = (
                f"{folder / SIGNING} is not the key that this site is known by. Put "
                "the site's own key back from a backup."
            )
            raise IntegrityError(message)

    @property
    def fingerprint(self) -> str:
        """Of both public keys: what people compare."""
        return site_fingerprint(self.signing_public, self.agreement_public)

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of `data`, 64 bytes."""
        return self._signing.sign(data)

    def attest(self, head: str, leaves: tuple[bytes, ...]) -> Attestation:
        """Sign a release: the ledger's head (hex) and a leaf of each output."""
        unsigned = Attestation(bytes.fromhex(head), leaves)
        signature = self.sign(unsigned.signed_bytes())
        return msgspec.structs.replace(unsigned, signature=signature)

    def salted(self, *parts: str) -> bytes:
        """Return an HMAC-SHA256 of `parts` under the site's secret salt."""
        code = self._salting.copy()
        code.update("\x1f".join(parts).encode())
        return code.digest()


def _settle(folder: Path, known: str) -> None:
    """Finish a change of keys that was cut short, and refuse to invent lost ones."""
    fresh = folder / f"{SIGNING}{NEXT}"
    if fresh.exists() and _public(_signing(fresh)) == known:
        # the signing key comes last: while it waits, the change is not finished
        for name in (AGREEMENT, SIGNING):
            prepared = folder / f"{name}{NEXT}"
            if prepared.exists():
                prepared.replace(folder / name)
    for name in (SIGNING, AGREEMENT, SALT):
        if not (folder / name).exists():
            message = (
                f"{folder / name} is lost. Put it back from a backup. Where there is "
                "none, stop the server and run `fednb site rotate-keys HOME --lost`: "
                "every contract must then be requested and approved anew."
            )
            raise IntegrityError(message)


def _signing(path: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret_file(path))


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()

"""Sealed boxes: bytes that only the next site can read.

A relay strategy (cyclic weight transfer) hands weights from site to site through the
coordinator, which must not read them. A fresh X25519 key agrees on a secret with the
recipient's key from the contract; HKDF-SHA256 makes a key of it, bound to both public
keys; AES-256-GCM encrypts, with the context as associated data.

Source: the construction of ECIES / RFC 9180 (HPKE) base mode; NIST SP 800-38D (GCM).

A box hides and protects its content and its context. It does not say who sealed it: the
output that carries it is signed by its site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fednb.errors import IntegrityError
from fednb.privacy.agreement import (
    KEY_BYTES,
    derive_key,
    public_bytes,
    public_hex,
    shared_secret,
)

if TYPE_CHECKING:
    from fednb.records.outputs import Place

_MAGIC: Final = b"fednb-box-1"
_TAG_BYTES: Final = 16
# a zero nonce is safe: the key of a box encrypts that one box only
_NONCE: Final = bytes(12)

OVERHEAD_BYTES: Final = len(_MAGIC) + KEY_BYTES + _TAG_BYTES
"""By how much a sealed box is longer than its content."""


def seal(data: bytes, recipient_agreement_key_hex: str, context: bytes) -> bytes:
    """Encrypt `data` so that only the recipient can read it.

    Parameters
    ----------
    data
        Content, at most 2 GiB.
    recipient_agreement_key_hex
        X25519 public key of the recipient, from the contract.
    context
        What the box belongs to, for example canonical bytes of the place; not in the
        box, and needed to open it.

    Returns
    -------
    sealed
        `OVERHEAD_BYTES` longer than `data`; another one at each call.

    Raises
    ------
    IntegrityError
        The recipient's key is malformed or of low order.
    """
    ephemeral = X25519PrivateKey.generate()
    recipient = public_bytes(recipient_agreement_key_hex)
    # the ephemeral key must not outlive this call, so the cache is passed by
    secret = shared_secret.__wrapped__(ephemeral, recipient_agreement_key_hex)
    sender = ephemeral.public_key().public_bytes_raw()
    key = derive_key(secret, salt=sender + recipient, info=_MAGIC)
    box = AESGCM(key).encrypt(_NONCE, data, context)
    return b"".join((_MAGIC, sender, box))


def open_sealed(sealed: bytes, private_key: X25519PrivateKey, context: bytes) -> bytes:
    """Return the content of a sealed box.

    Parameters
    ----------
    sealed
        From `seal`.
    private_key
        The recipient's agreement key.
    context
        The same bytes as at sealing.

    Raises
    ------
    IntegrityError
        The box, the context or the key is not the one it was sealed with.
    """
    start = len(_MAGIC) + KEY_BYTES
    if not sealed.startswith(_MAGIC) or len(sealed) < start + _TAG_BYTES:
        message = f"{len(sealed)} bytes are not a sealed box; ask for it again."
        raise IntegrityError(message)
    sender = sealed[len(_MAGIC) : start]
    recipient = bytes.fromhex(public_hex(private_key))
    secret = shared_secret.__wrapped__(private_key, sender.hex())
    key = derive_key(secret, salt=sender + recipient, info=_MAGIC)
    try:
        return AESGCM(key).decrypt(_NONCE, memoryview(sealed)[start:], context)
    except InvalidTag as error:
        message = (
            "A sealed box does not open: it was changed on its way, or it was sealed "
            "for another site, round or attempt. Ask for it again."
        )
        raise IntegrityError(message) from error


def relay_context(place: Place) -> bytes:
    """Return what a sealed relay is bound to: contract, step, run and visit."""
    parts = (place.contract, str(place.step), place.run, str(place.round))
    return "\x1f".join(("fednb-relay", *parts)).encode()

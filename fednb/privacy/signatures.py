"""Ed25519 signatures, and whether an output is one that its site released.

A site signs a release once: the head of its ledger and a digest of each output. An
output that is relayed alone carries the other digests, which tell nothing: each covers
a salt that only its own output names.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from fednb.records.contracts import Contract
    from fednb.records.outputs import Attestation, Output, Place


def signature_holds(public_key: str, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` belongs to an Ed25519 public key (hex)."""
    try:
        _public(public_key).verify(signature, data)
    except (InvalidSignature, ValueError, TypeError):  # TypeError: text in the database
        return False
    return True


@lru_cache(maxsize=1024)
def attestation_holds(public_key: str, attestation: Attestation) -> bool:
    """Whether a site's key signed what it says of a release.

    Every output of a release names the same one: it is checked once.

    Parameters
    ----------
    public_key
        Ed25519, hexadecimal.
    attestation
        As it came; anybody may have made it up.
    """
    return attestation.is_whole() and signature_holds(
        public_key, attestation.signature, attestation.signed_bytes()
    )


def is_released(output: Output, place: Place, contract: Contract) -> bool:
    """Whether an output is what its site released in a round.

    Parameters
    ----------
    output
        As it was relayed.
    place
        Names contract, step, run and round; the attempt does not count.
    contract
        Binds the participants' keys.
    """
    keys = {p.site: p.signing_key for p in contract.participants}
    there = output.place
    follows = (there.contract, there.step, there.run, there.round) == (
        place.contract,
        place.step,
        place.run,
        place.round,
    )
    attestation = output.attestation
    return (
        follows
        and output.leaf() in attestation.leaves
        and attestation_holds(keys.get(output.site, ""), attestation)
    )


@lru_cache(maxsize=256)
def _public(key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))

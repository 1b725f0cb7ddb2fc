"""Decisions, and the outputs that a release carries."""

from __future__ import annotations

import hashlib
from typing import Final

from fednb.errors import Cause
from fednb.records.arrays import Array
from fednb.records.base import Name, Record, sha256_hex
from fednb.records.contracts import OutputKind

DIGEST_BYTES: Final = 32


class Decision(Record, frozen=True):
    """The answer of a rule: a value, recorded, never an exception.

    Attributes
    ----------
    allow
        Whether the rule lets it pass.
    rule
        Name of the rule, for example ``"disclosure.2-threshold"``.
    reason
        Private: written for the site owner, with the value seen and what to do.
    cause
        What a requester is told where the rule stops something.
    version
        Version of the rule.
    threshold
        Threshold that applied, where the rule has one.
    fault
        What a requester is told of an error in their own code; see `CodeError`.
    """

    allow: bool
    rule: str
    reason: str
    cause: Cause = "disclosure"
    version: int = 1
    threshold: float = 0.0
    fault: Name = ""


class Place(Record, frozen=True):
    """Where in a run something belongs; masks and signatures are bound to it."""

    contract: Name
    step: int
    run: Name
    round: int
    attempt: int


class Attestation(Record, frozen=True):
    """What a site signs of a release.

    Attributes
    ----------
    head
        Hash of the newest entry of the site's ledger, which covers the release, 32
        bytes: kept by others, it shows a ledger that was cut off.
    leaves
        `Output.leaf` of each output, 32 bytes each.
    signature
        Ed25519 over both.
    """

    head: bytes = b""
    leaves: tuple[bytes, ...] = ()
    signature: bytes = b""

    def is_whole(self) -> bool:
        """Whether its parts have their lengths, so that it can be read in one way."""
        return all(len(part) == DIGEST_BYTES for part in (self.head, *self.leaves))

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        return b"fednb-release\x1f" + self.head + b"".join(self.leaves)


class Output(Record, frozen=True):
    """One output of one site.

    Attributes
    ----------
    site, place, name, kind
        Who, where in the run, which output of the contract, and how it is protected.
    data
        The elements.
    salt
        Random: who knows the leaf of an output cannot try values of its data.
    attestation
        Of the release; in a `fednb.records.messages.Release` it stands once for all.
    """

    site: Name
    place: Place
    name: Name
    kind: OutputKind
    data: Array
    salt: bytes = b""
    attestation: Attestation = Attestation()

    def leaf(self, digest: str = "") -> bytes:
        """Return the SHA-256 of all that the site vouches for.

        Parameters
        ----------
        digest
            SHA-256 of the data, where the caller has just computed it; empty: computed
            here. Who checks a leaf never passes one.
        """
        place = self.place
        parts = (
            "fednb-output",
            place.contract,
            str(place.step),
            place.run,
            str(place.round),
            str(place.attempt),
            self.site,
            self.name,
            self.kind,
            self.data.dtype,
            ",".join(map(str, self.data.shape)),
            self.salt.hex(),
            digest or sha256_hex(self.data.data),
        )
        return hashlib.sha256("\x1f".join(parts).encode()).digest()

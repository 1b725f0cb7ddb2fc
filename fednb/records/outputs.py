"""Decisions, and the outputs that a release carries."""

from __future__ import annotations

from fednb.errors import Cause
from fednb.records.arrays import Array
from fednb.records.base import Name, Record, sha256_hex
from fednb.records.contracts import OutputKind


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


class Output(Record, frozen=True):
    """One output of one site, signed by the site.

    Attributes
    ----------
    site, place, name, kind
        Who, where in the run, which output of the contract, and how it is protected.
    data
        The elements.
    signature
        Ed25519 over place, site, name, kind and the SHA-256 of the data.
    """

    site: Name
    place: Place
    name: Name
    kind: OutputKind
    data: Array
    signature: bytes = b""

    def signed_bytes(self, digest: str = "") -> bytes:
        """Return what the site's signature covers.

        Parameters
        ----------
        digest
            SHA-256 of the data, where the caller has just computed it; empty: computed
            here. Who checks a signature never passes one.
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
            digest or sha256_hex(self.data.data),
        )
        return "\x1f".join(parts).encode()

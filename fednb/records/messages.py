"""Messages between a coordinator and a site: the closed list of law 1.

A coordinator sends an `Ask`; a site answers with a `Reply`. Of the replies, a `Release`
holds outputs that an approved contract names, a `Publication` what the owner signed,
and `State` and `Refusal` are protocol messages of a fixed size.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fednb.errors import Cause
from fednb.records.arrays import Array, hash_of
from fednb.records.base import Name, Record, sha256_hex
from fednb.records.outputs import Attestation, Output, Place

Standing = Literal[
    "ready",
    "working",
    "stopped",
    "pending",
    "approved",
    "denied",
    "expired",
    "revoked",
    "unknown",
]
"""How a site, a call or a contract stands."""


class Ping(Record, frozen=True):
    """Ask whether the site is there."""


class Browse(Record, frozen=True):
    """Ask for the cards of all datasets that the owner publishes."""


class FetchMock(Record, frozen=True):
    """Ask for the mock half of a dataset."""

    dataset: Name


class Propose(Record, frozen=True):
    """Hand in a contract: canonical bytes and the requester's Ed25519 signature."""

    contract: bytes
    signature: bytes


class AskStatus(Record, frozen=True):
    """Ask where a contract stands at this site."""

    contract: Name


class Call(Record, frozen=True):
    """Run one round of one step under an approved contract.

    Attributes
    ----------
    id
        Names the call: the same id returns the recorded release, and spends nothing.
    place
        Contract, step, run, round and attempt.
    arrays
        Inputs by name, for example ``"weights"``.
    relayed
        All participants' outputs of the previous round, from which the site derives
        what comes next by itself (disclosure rule 19).
    query, query_signature
        Under a standing contract: canonical bytes of the plan, signed by the
        requester.
    wait
        Seconds to hold the call open before "working" is answered.
    """

    id: Name
    place: Place
    arrays: dict[str, Array] = {}
    relayed: tuple[Output, ...] = ()
    query: bytes = b""
    query_signature: bytes = b""
    wait: float = 0.5

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays and relayed outputs."""
        arrays = [*self.arrays.values(), *(output.data for output in self.relayed)]
        return sum(array.data.nbytes for array in arrays)

    def inputs(self) -> str:
        """Return a hash of the arrays: another attempt of a round has the same."""
        return hash_of(self.arrays)

    def digest(self, inputs: str) -> str:
        """Return a hash of everything but `wait`: equal calls have equal digests.

        Parameters
        ----------
        inputs
            What `inputs` returned: hashing large arrays once is enough.
        """
        parts = [self.id, repr(self.place), self.query.hex(), inputs]
        for output in self.relayed:
            parts += [output.name, output.attestation.signature.hex()]
        return sha256_hex("\x1f".join(parts).encode())


class Collect(Record, frozen=True):
    """Ask for the answer to a call that was "working"; sends no inputs again."""

    id: Name
    wait: float = 0.5


class StopRun(Record, frozen=True):
    """Stop what the site is doing for a run; it is dead within two seconds."""

    run: Name


class State(Record, frozen=True):
    """Protocol message: how the site, or something at the site, stands.

    Attributes
    ----------
    site
        Name of the site.
    status
        ``"ready"``, ``"working"``, ``"stopped"``, or the status of a contract.
    time
        Unix time in seconds: the heartbeat.
    version
        Protocol version.
    """

    site: str
    status: Standing
    time: float
    version: int = 1


class Refusal(Record, frozen=True):
    """Protocol message: no, with a cause from the closed list and a correlation id.

    Attributes
    ----------
    site, cause, correlation
        Who, why, and where its owner finds the reason.
    fault
        Type of an error in the requester's own code, and the line; never its words.
    """

    site: str
    cause: Cause
    correlation: str
    fault: Name = ""


class Release(Record, frozen=True):
    """Outputs that an approved contract names, after the disclosure rules.

    Attributes
    ----------
    site, call, place
        Who answers what.
    outputs
        As the contract names them.
    attestation
        The site's signature of all outputs and of its ledger's head.
    """

    site: str
    call: str
    place: Place
    outputs: tuple[Output, ...]
    attestation: Attestation

    @property
    def head(self) -> str:
        """The ledger's head, 64 hexadecimal digits."""
        return self.attestation.head.hex()

    def attested(self) -> tuple[Output, ...]:
        """Return the outputs, each with what the site signed of them all."""
        return tuple(
            msgspec.structs.replace(output, attestation=self.attestation)
            for output in self.outputs
        )


class Publication(Record, frozen=True):
    """Something that the owner signed for everybody: cards, or a mock dataset.

    Attributes
    ----------
    site, kind
        ``"cards"``: bodies are canonical `DatasetCard` records; ``"mock"``: a table
        as CSV, then volumes as NIfTI files.
    names, bodies, signatures
        Name, content and the site's Ed25519 signature of each item.
    """

    site: str
    kind: Literal["cards", "mock"]
    names: tuple[str, ...]
    bodies: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


Ask = Ping | Browse | FetchMock | Propose | AskStatus | Call | Collect | StopRun
Reply = State | Refusal | Release | Publication

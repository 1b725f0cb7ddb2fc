"""Contracts: canonical bytes that a scientist signs and a site owner approves."""

from __future__ import annotations

from typing import Literal

from fednb.records.base import Record, canonical, sha256_hex
from fednb.records.datasets import Column
from fednb.records.tasks import AnyPlan, covers

OutputKind = Literal["masked", "table", "weights", "sealed", "receipt"]
Status = Literal["pending", "approved", "denied", "expired", "revoked", "unknown"]


class OutputSpec(Record, frozen=True):
    """One output that a contract names: nothing else may leave.

    Attributes
    ----------
    step
        Index of the plan in the contract.
    name
        For example ``"update"`` or ``"score"``.
    kind
        ``"masked"``: a vector hidden by the secure sum; ``"table"``: rounded
        aggregates; ``"weights"``: network weights in the clear; ``"sealed"``: weights
        that only the next site can read; ``"receipt"``: that something was stored at
        the site.
    elements
        Largest number of elements.
    bytes
        Largest number of bytes a release.
    times
        In how many rounds of a run at most, or to how many queries; a site counts them.
        Retries and other attempts of a round are not counted.
    control
        The rule under which it leaves, in words.
    """

    step: int
    name: str
    kind: OutputKind
    elements: int
    bytes: int
    times: int
    control: str


class Participant(Record, frozen=True):
    """A site in a contract, with its public keys and its dataset's fingerprint."""

    site: str
    signing_key: str
    agreement_key: str
    fingerprint: str


class Privacy(Record, frozen=True):
    """How outputs are protected.

    Attributes
    ----------
    profile
        ``"standard"``, ``"rare-disease"`` or ``"open"``; a site refuses one that is
        looser than its own.
    secure_sum
        Whether sums over sites hide each site's part; default where there are three
        or more sites.
    precision
        Step to which totals of fits are rounded, in patient-SD (disclosure rule 20);
        0 in the open profile.
    """

    profile: Literal["standard", "rare-disease", "open"] = "standard"
    secure_sum: bool = True
    precision: float = 0.1


class Resources(Record, frozen=True):
    """Caps that the site enforces.

    Attributes
    ----------
    seconds
        Wall time a call, at most.
    gpu_gib
        GPU memory at most, in GiB.
    message_bytes
        Size of a message at most.
    calls
        Number of calls at most, retries of the same call not counted.

    Examples
    --------
    >>> fednb.Resources(seconds=600).seconds
    600
    """

    seconds: int = 3600
    gpu_gib: float = 8.0
    message_bytes: int = 2**30
    calls: int = 10_000


class Contract(Record, frozen=True):
    """What is asked of the sites: the thing that is signed, approved and enforced.

    Attributes
    ----------
    version
        Of this schema.
    nonce
        Makes two otherwise equal contracts differ.
    requester, requester_key
        Name for people to read; Ed25519 public key, which is the identity.
    purpose
        In the scientist's words.
    dataset
        Name of the dataset at every participant.
    participants
        In site-name order.
    steps
        One plan, or the chain of a study.
    outputs
        Everything that may leave, derived from the steps and checked by the site.
    initial
        Hash of the initial weights a step trains from, by step index.
    columns
        Declarations of the table columns that the steps use: the owners' grids and the
        bounds to which values are clipped, the same at every participant.
    parameters
        Number of weights of the network a step trains or uses, by step index.
    weights
        Weight of each participant in means: its rounded number of subjects over the
        sum of those numbers, in the order of `participants`.
    standing
        A standing contract has no run: its steps answer any number of signed queries.
    created, expires
        Unix times in seconds.
    """

    version: int
    nonce: str
    requester: str
    requester_key: str
    purpose: str
    dataset: str
    participants: tuple[Participant, ...]
    steps: tuple[AnyPlan, ...]
    outputs: tuple[OutputSpec, ...]
    privacy: Privacy
    resources: Resources
    created: int
    expires: int
    weights: tuple[float, ...] = ()
    columns: tuple[Column, ...] = ()
    initial: dict[str, str] = {}
    parameters: dict[str, int] = {}
    standing: bool = False

    def hash(self) -> str:
        """Return the SHA-256 of the canonical bytes: the contract's name."""
        return sha256_hex(canonical(self))

    def sites(self) -> tuple[str, ...]:
        """Return the participants' names in order."""
        return tuple(p.site for p in self.participants)

    def step_for(self, query: AnyPlan) -> int | None:
        """Return the step of a standing contract that answers a query; None: none."""
        steps = enumerate(self.steps if self.standing else ())
        return next((n for n, plan in steps if covers(plan, query)), None)

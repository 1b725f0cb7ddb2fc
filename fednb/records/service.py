"""Messages between a notebook and the coordinator's service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from fednb.errors import revive
from fednb.records.arrays import Array
from fednb.records.base import Record
from fednb.records.code import Code
from fednb.records.specs import ModelSpec

if TYPE_CHECKING:
    from fednb.errors import FednbError

RunStatus = Literal[
    "created", "running", "paused", "stopping", "stopped", "failed", "completed"
]
FINAL: tuple[RunStatus, ...] = ("stopped", "failed", "completed")


class ListSites(Record, frozen=True):
    """Ask for all sites and when each was last heard."""


class Forward(Record, frozen=True):
    """Pass a message on to a site, and its reply back."""

    site: str
    message: bytes


class Prepare(Record, frozen=True):
    """Make seeded initial weights of a network and keep them."""

    network: ModelSpec | Code
    channels: int
    covariates: int
    seed: int


class FileRequest(Record, frozen=True):
    """Keep a request, so that a later notebook finds it."""

    contract: bytes
    signature: bytes


class ListRequests(Record, frozen=True):
    """Ask for all requests that were kept."""


class StartRun(Record, frozen=True):
    """Start the run of an approved contract."""

    run: str
    contract: bytes
    signature: bytes


class AskQuery(Record, frozen=True):
    """Ask a query under a step of a standing contract, and sum the answers."""

    run: str
    contract: str
    step: int
    query: bytes
    signature: bytes


class AskRun(Record, frozen=True):
    """Ask how a run stands."""

    run: str


class ListRuns(Record, frozen=True):
    """Ask for all runs."""


class AskEvents(Record, frozen=True):
    """Ask for the events of a run after a number; wait for one if there is none."""

    run: str
    since: int
    wait: float = 0.0


class Control(Record, frozen=True):
    """Pause, resume or stop a run."""

    run: str
    verb: Literal["pause", "resume", "stop"]


class AskOutcome(Record, frozen=True):
    """Ask for what a completed run brought."""

    run: str


class FetchWeights(Record, frozen=True):
    """Ask for weights that a run released, by hash."""

    sha256: str


class SiteLine(Record, frozen=True):
    """A site as the coordinator sees it.

    Attributes
    ----------
    site
        Its name.
    state
        ``"ready"``, ``"working"``, ``"down"``, or a cause of refusal.
    seen
        Unix time of the last answer; 0: never.
    """

    site: str
    state: str
    seen: float


class SiteLines(Record, frozen=True):
    """All sites, in name order."""

    sites: tuple[SiteLine, ...]


class RequestLine(Record, frozen=True):
    """A request as the coordinator keeps it."""

    contract: bytes
    signature: bytes
    created: float


class RequestLines(Record, frozen=True):
    """All requests, newest first."""

    requests: tuple[RequestLine, ...]


class Forwarded(Record, frozen=True):
    """A site's reply, as it came."""

    reply: bytes


class Prepared(Record, frozen=True):
    """Initial weights in the coordinator's store."""

    sha256: str
    parameters: int


class Fault(Record, frozen=True):
    """An error at the service, to be raised in the notebook.

    Attributes
    ----------
    error
        Name of a class of `fednb.errors`.
    arguments
        What its `FednbError.told` said.
    """

    error: str
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, error: FednbError) -> Self:
        """Return an error in the form that crosses to a notebook."""
        return cls(type(error).__name__, error.told())

    def revived(self) -> FednbError:
        """Return the error; its message says site and cause."""
        return revive(self.error, self.arguments)


class RunLine(Record, frozen=True):
    """How a run stands.

    Attributes
    ----------
    run, contract
        Ids.
    status
        See `RunStatus`.
    step, round, rounds
        Where it is: the step, rounds done of it, rounds of it in all.
    sites
        Each participant with the time it was last heard.
    fault
        Why it failed or paused.
    created, updated
        Unix times in seconds.
    """

    run: str
    contract: str
    status: RunStatus
    step: int
    round: int
    rounds: int
    sites: tuple[SiteLine, ...]
    fault: Fault | None
    created: float
    updated: float


class RunLines(Record, frozen=True):
    """All runs, newest first."""

    runs: tuple[RunLine, ...]


class Event(Record, frozen=True):
    """Something that happened in a run.

    Attributes
    ----------
    seq
        Number within the run, from 1, without gaps.
    time
        Unix time in seconds.
    kind
        ``"started"``, ``"round"``, ``"step"``, ``"paused"``, ``"resumed"``,
        ``"stopped"``, ``"failed"`` or ``"completed"``.
    step, round
        Where.
    text
        For people.
    metrics
        Pooled figures of a round, for example ``"train_loss"``.
    """

    seq: int
    time: float
    kind: str
    step: int
    round: int
    text: str = ""
    metrics: dict[str, float] = {}


class Events(Record, frozen=True):
    """Events in order."""

    events: tuple[Event, ...]


class ReleaseLine(Record, frozen=True):
    """One output of one site, by name and size."""

    site: str
    step: int
    round: int
    name: str
    kind: str
    bytes: int
    head: str = ""


class RoundLine(Record, frozen=True):
    """One round: pooled figures, seconds and bytes released."""

    round: int
    metrics: dict[str, float]
    seconds: float
    bytes: int


class StepOutcome(Record, frozen=True):
    """What one step brought.

    Attributes
    ----------
    step
        Its index.
    totals
        Totals over all sites, one vector a round; a training step has none.
    rounds
        Its rounds.
    weights
        Hash of trained weights; empty for other steps.
    releases
        Every output that left a site for it.
    """

    step: int
    totals: tuple[Array, ...]
    rounds: tuple[RoundLine, ...]
    weights: str
    releases: tuple[ReleaseLine, ...]


class Outcome(Record, frozen=True):
    """What a run brought, step by step."""

    run: str
    contract: str
    steps: tuple[StepOutcome, ...]


class Weights(Record, frozen=True):
    """Flat float32 weights."""

    data: Array


ServiceAsk = (
    ListSites
    | Forward
    | Prepare
    | FileRequest
    | ListRequests
    | StartRun
    | AskQuery
    | AskRun
    | ListRuns
    | AskEvents
    | Control
    | AskOutcome
    | FetchWeights
)
ServiceReply = (
    SiteLines
    | RequestLines
    | Forwarded
    | Prepared
    | Fault
    | RunLine
    | RunLines
    | Events
    | Outcome
    | Weights
)

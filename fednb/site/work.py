"""What the gatekeeper hands the executor after all checks have passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fednb.records.arrays import Array
from fednb.records.base import Record
from fednb.site.walls import Terms

if TYPE_CHECKING:
    from fednb.privacy.differencing import Book
    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import StatisticsLayout
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Place
    from fednb.records.tasks import AnyPlan
    from fednb.survival.registry import Analysis, Stage


@dataclass(frozen=True)
class Page:
    """What an answer may lean on, and what its release writes down (rules 11 and 12).

    Attributes
    ----------
    book
        Earlier answers, and those of this call.
    patients
        Salted ids of patients that the site's sets did not know before.
    last
        Number of the last answer that the book knows.
    summed
        Statistics of which a sum with hidden parts is released.
    sites
        The sites behind that sum.
    place, outcome
        Of a fit.
    """

    book: Book
    patients: bytes
    last: int
    summed: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    place: Place | None = None
    outcome: str = ""


class RunState(Record, frozen=True):
    """Where a step of a run stands at this site; stored with each release.

    Attributes
    ----------
    round, attempt
        Last answered.
    pinned
        Hash of each earlier step's artefact, by step index, as first presented.
    history
        Totals over all sites of a head's earlier rounds, which this site summed.
    inputs
        Hash of the inputs of the last answered call.
    digest, kept
        Of a training step under a secure sum: the strategy's state at the last
        answered round; see `fednb.site.states.Derived`.
    released
        In how many rounds each output was released.
    """

    round: int
    attempt: int
    pinned: dict[str, str] = {}
    history: tuple[Array, ...] = ()
    inputs: str = ""
    digest: str = ""
    kept: dict[str, Array] = {}
    released: dict[str, int] = {}


@dataclass(frozen=True)
class Known:
    """What a site found out of a call while it admitted it.

    Attributes
    ----------
    inputs
        Hash of the call's arrays.
    terms
        Of the site's policy, for a contract's own code.
    before
        Where the step of the run stands; None: it begins, or the call is a query.
    """

    inputs: str = ""
    terms: Terms = field(default_factory=Terms)
    before: RunState | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """One admitted call, with all that it needs.

    Attributes
    ----------
    call
        Id of the call.
    place
        Contract, step, run, round and attempt.
    plan
        The step's plan, or the query of a standing contract.
    round, rounds
        Round of the strategy, from 0, and how many there are.
    site, share, sites
        Name of the site, its weight in means, number of participants.
    manifest, table, images
        The private half of the dataset.
    folder
        Where caches, embeddings and strategy state are kept.
    split
        Patient indices by part.
    arrays
        Inputs by name.
    known
        What was found out of the call.
    embedding
        File of embeddings to write or to read.
    profile, seconds, gpu_gib, columns
        Of the contract.
    layout
        Of a statistics table.
    analysis, stage
        Of a summed step: what the contract fixes and where the run stands.
    history
        Totals of a summed step's earlier rounds, as this site summed them.
    recipient
        Agreement key of a relay's next site; empty: none, or the last visit.
    relay
        Whether the weights travel on.
    digest, kept
        The strategy's state as the site derived it; see `fednb.site.states.Derived`.
    secret
        The site's own for this place, whatever the attempt; noise follows from it.
    page
        Of a table's answers; None: no table, or the open profile.
    """

    call: str
    place: Place
    plan: AnyPlan
    round: int
    rounds: int
    site: str
    share: float
    sites: int
    manifest: Manifest
    table: str
    images: str
    folder: str
    split: dict[str, tuple[int, ...]]
    profile: Profile
    seconds: float
    gpu_gib: float
    columns: tuple[Column, ...]
    known: Known
    arrays: dict[str, Array] = field(default_factory=dict)
    embedding: str = ""
    layout: StatisticsLayout | None = None
    analysis: Analysis | None = None
    stage: Stage | None = None
    history: tuple[Array, ...] = ()
    recipient: str = ""
    relay: bool = False
    digest: str = ""
    kept: dict[str, Array] = field(default_factory=dict)
    secret: bytes = b""
    page: Page | None = None

"""What the executor hands a task, and what a task hands back.

A job is bytes on a pipe to the torch worker and an object for the light tasks that run
in the serving process; both see the same fields.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fednb.errors import Cause
from fednb.imaging.allowlist import ALLOWED
from fednb.imaging.transforms import named
from fednb.records.arrays import Array
from fednb.records.base import Record, canonical, sha256_hex
from fednb.records.code import Code
from fednb.records.datasets import Column, Manifest
from fednb.records.specs import ModelSpec
from fednb.records.tasks import AnyPlan

if TYPE_CHECKING:
    from fednb.records.tasks import TrainingPlan

CACHE_VERSION: Final = 1
"""Raise it when what a cache of volumes stores changes."""


class Job(Record, frozen=True):
    """One call of one step at one site.

    Attributes
    ----------
    id
        The call's id.
    site
        Name of the site.
    plan
        The step's plan.
    round
        Round of the step, from 0.
    rounds
        Rounds of the step in all.
    manifest
        Of the dataset.
    table
        Path of the clinical table (CSV with a column ``patient_id``).
    images
        Path of the image folder; empty without images.
    work
        Folder of the site for caches, embeddings and strategy state, mode 0700.
    split
        Patient indices by part: ``"train"``, ``"validation"``, ``"test"``.
    arrays
        Inputs by name: what the strategy's ``broadcast`` holds, for example
        ``"weights"`` (flat float32, tensors in sorted name order).
    embedding
        File name under ``work/embeddings`` to write, or to read from.
    gpu_gib
        Cap on GPU memory.
    run
        Name of the run: keeps what a strategy stores at the site apart.
    share, sites
        Weight p_k of the site in means, and number of participants.
    threshold
        Exits that an interval of follow-up holds at least (disclosure rule 10).
    columns
        The contract's declarations of columns, the same at every site; empty: the
        manifest's.
    secret
        The site's own for this place, from which noise follows; empty: none is needed.
    cache
        Folder of prepared volumes, for a task that sees nothing else of the images;
        empty: found from the plan, and filled.
    """

    id: str
    site: str
    plan: AnyPlan
    round: int
    rounds: int
    manifest: Manifest
    table: str
    images: str
    work: str
    split: dict[str, tuple[int, ...]]
    arrays: dict[str, Array] = {}
    embedding: str = ""
    gpu_gib: float = 8.0
    run: str = ""
    share: float = 1.0
    sites: int = 1
    threshold: int = 10
    columns: tuple[Column, ...] = ()
    secret: bytes = b""
    cache: str = ""


class InitialiseJob(Record, frozen=True):
    """Make seeded initial weights: needs no data."""

    id: str
    network: ModelSpec | Code
    channels: int
    covariates: int
    seed: int


class Progress(Record, frozen=True):
    """Sent by the worker while it works: a heartbeat for the owner's machine."""

    id: str
    done: int
    total: int


class JobResult(Record, frozen=True):
    """What a task computed: private until the release has passed it.

    Attributes
    ----------
    id
        Of the job.
    vectors
        Arrays by name. Training: ``"update"`` (flat float32, w_k - w) or, for a relay
        strategy, ``"weights"``; ``"metrics"`` (float64: sums, see the task).
    patients
        Number of distinct patients behind the vectors.
    error, detail
        Name of the error class and private text where the task failed; empty else.
    cause
        Where the task failed: what a requester may be told.
    """

    id: str
    vectors: dict[str, Array] = {}
    patients: int = 0
    error: str = ""
    detail: str = ""
    cause: Cause = "internal"


class Handover(Record, frozen=True):
    """Prepare volumes for a confined process: fills ``work/cache``.

    Attributes
    ----------
    job
        Its plan is a `TrainingPlan` without any code.
    rows
        Patients.
    """

    id: str
    job: Job
    rows: tuple[int, ...]


class ConfinedJob(Record, frozen=True):
    """A job that runs a requester's own code, in a confined process.

    Attributes
    ----------
    id
        The call's id.
    job
        The work, without names of patients, paths, and columns that the plan leaves
        out.
    table
        The table that the task sees, as CSV.
    state
        Files that the strategy kept at the site in earlier rounds of the run.
    """

    id: str
    job: Job
    table: bytes
    state: dict[str, bytes] = {}


class ConfinedResult(Record, frozen=True):
    """What a confined process says: nothing in it is trusted.

    Attributes
    ----------
    result
        As of any task.
    files
        What the task wrote: ``"state/<name>"``, ``"embedding"``.
    code, line
        Hash of the code that failed, and where in it; empty: none did.
    """

    result: JobResult
    files: dict[str, bytes] = {}
    code: str = ""
    line: int = 0


def cache_folder(job: Job, plan: TrainingPlan) -> Path:
    """Return the folder of a dataset's volumes under a plan's fixed preprocessing."""
    fixed = [canonical(s) for s in named(plan.transforms) if not ALLOWED[s.name].random]
    modalities = plan.modalities or job.manifest.modalities
    parts = (job.manifest.fingerprint(), modalities, plan.size, fixed, CACHE_VERSION)
    return Path(job.work) / "cache" / sha256_hex(repr(parts).encode())[:32]


def state_folder(job: Job) -> Path:
    """Return the folder for what a strategy keeps at the site during one run."""
    name = sha256_hex(canonical(job.plan) + job.run.encode())[:32]
    return Path(job.work) / "state" / name

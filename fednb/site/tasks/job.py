"""What the executor hands a task, and what a task hands back.

A job is bytes on a pipe to the torch worker and an object for the light tasks that run
in the serving process; both see the same fields.
"""

from __future__ import annotations

from fednb.errors import Cause
from fednb.records.arrays import Array
from fednb.records.base import Record
from fednb.records.datasets import Column, Manifest
from fednb.records.specs import ModelSpec
from fednb.records.tasks import AnyPlan


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
    columns
        The contract's declarations of columns, the same at every site; empty: the
        manifest's.
    secret
        The site's own for this place, from which noise follows; empty: none is needed.
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
    columns: tuple[Column, ...] = ()
    secret: bytes = b""


class InitialiseJob(Record, frozen=True):
    """Make seeded initial weights: needs no data."""

    id: str
    network: ModelSpec
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
    gpus
        Names of the GPUs that the worker sees.
    """

    id: str
    vectors: dict[str, Array] = {}
    patients: int = 0
    error: str = ""
    detail: str = ""
    cause: Cause = "internal"
    gpus: tuple[str, ...] = ()

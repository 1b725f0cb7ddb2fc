"""Runs a call whose contract carries code: the site's side of the confined worker.

The table loses its names and the columns that the plan leaves out, volumes are prepared
by the site's own worker, which never sees the code, and what comes back is checked by
`fednb.site.tasks.returned`.
"""

from __future__ import annotations

import builtins
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from fednb.errors import CodeError, FednbError, PlanError, WireError
from fednb.imaging.transforms import named
from fednb.records.carried import check_carried, codes_of, training_of
from fednb.records.specs import ModelSpec
from fednb.records.tasks import EmbeddingPlan, TrainingPlan, columns_of
from fednb.site.confinement import ConfinedWorker
from fednb.site.tasks.job import (
    ConfinedJob,
    ConfinedResult,
    Handover,
    InitialiseJob,
    Job,
    JobResult,
    Progress,
    cache_folder,
)
from fednb.site.tasks.returned import Counts, check, check_weights, read_state
from fednb.site.tasks.table import PATIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fednb.records.code import Code
    from fednb.records.datasets import Manifest
    from fednb.site.walls import Terms

PLAIN: Final = ModelSpec("small-cnn-3d")
"""Stands for the network where volumes are prepared, and none is built."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ConfinedResult | Progress)
_ERRORS: Final = frozenset(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
_NAME: Final = 80


@dataclass(frozen=True)
class Watch:
    """How a call is watched.

    Attributes
    ----------
    seconds
        Wall time of each of its parts.
    allowed
        Asked several times a second; False kills the process.
    progress
        Called with done and total; None: nobody asks.
    """

    seconds: float
    allowed: Callable[[], bool]
    progress: Callable[[int, int], None] | None = None


def run_confined(
    job: Job, terms: Terms, watch: Watch, prepare: Callable[[Handover], JobResult]
) -> JobResult:
    """Run a job whose plan carries code.

    Parameters
    ----------
    job
        As for a task without code.
    terms
        What the site's owner allows a confined process.
    watch
        When to end it.
    prepare
        Runs in the site's own worker.

    Returns
    -------
    result
        Checked; or the error of `prepare`.

    Raises
    ------
    CodeError
        The code failed: names the error's type and the line.
    RunError
        It was stopped, exceeded a cap, or this machine lacks a wall.
    IntegrityError
        The process handed back what its plan does not have.
    """
    plan = training_of(job.plan)
    if plan is None:
        message = f"{type(job.plan).__name__} runs no code."
        raise PlanError(message)
    check_carried(plan)
    counts = Counts.of(job, plan)
    prepared = prepare(_handover(job, plan, counts))
    if prepared.error:
        return prepared
    cache = str(cache_folder(job, _plain(plan)))
    worker = ConfinedWorker(
        terms,
        readable=(cache,),
        private=tuple(path for path in (job.table, job.images, job.work) if path),
        seconds=watch.seconds * plan.threads,
    )
    with worker:
        asked = ConfinedJob(
            job.id, _stripped(job, plan, cache), _table(job, plan), read_state(job)
        )
        said = _ask(worker, _encoder.encode(asked), watch)
    if said.result.error:
        raise failure(said, codes_of(job.plan))
    return check(said, job, counts)


def initialise_confined(
    job: InitialiseJob, terms: Terms, watch: Watch
) -> NDArray[np.float32]:
    """Return the initial weights of a network that is code, flat float32.

    Raises
    ------
    CodeError, RunError, IntegrityError
        As for `run_confined`.
    """
    with ConfinedWorker(terms, seconds=watch.seconds) as worker:
        said = _ask(worker, _encoder.encode(job), watch)
    if said.result.error:
        code = job.network
        raise failure(said, () if isinstance(code, ModelSpec) else (code,))
    return check_weights(said)


def _handover(job: Job, plan: TrainingPlan, counts: Counts) -> Handover:
    parts = ("train", "validation") if job.plan is plan else ("all",)
    rows = {int(row) for part in parts for row in counts.rows(part)}
    if isinstance(job.plan, EmbeddingPlan):
        rows = set(range(len(counts.labels)))
    asked = msgspec.structs.replace(job, plan=_plain(plan), arrays={}, secret=b"")
    return Handover(job.id, asked, tuple(sorted(rows)))


def _plain(plan: TrainingPlan) -> TrainingPlan:
    """Return a plan whose volumes are the same, and that carries no code."""
    transforms = tuple(named(plan.transforms))
    return msgspec.structs.replace(plan, model=PLAIN, transforms=transforms, loss=None)


def _stripped(job: Job, plan: TrainingPlan, cache: str) -> Job:
    """Return a job that names no patient, no path, and no column that is not used."""
    used = columns_of(plan)
    return msgspec.structs.replace(
        job,
        manifest=_anonymous(job.manifest, used),
        columns=tuple(column for column in job.columns if column.name in used),
        table="",
        images="",
        work="",
        secret=b"",
        cache=cache,
    )


def _anonymous(manifest: Manifest, used: Sequence[str]) -> Manifest:
    return msgspec.structs.replace(
        manifest,
        columns=tuple(column for column in manifest.columns if column.name in used),
        patients=tuple(map(str, range(len(manifest.patients)))),
        table_sha256="",
        volumes=(),
    )


def _table(job: Job, plan: TrainingPlan) -> bytes:
    """Return the columns that a plan trains on, patients by number."""
    used = [name for name in columns_of(plan) if name != plan.split.column]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([PATIENT, *used])
    with Path(job.table).open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream)):
            writer.writerow([number, *(row.get(name, "") for name in used)])
    return text.getvalue().encode()


def _ask(worker: ConfinedWorker, job: bytes, watch: Watch) -> ConfinedResult:
    results: list[ConfinedResult] = []

    def last(frame: bytes) -> bool:
        try:
            answer = _decoder.decode(frame)
        except msgspec.DecodeError as error:
            message = "The code's process answered what is no result."
            raise WireError(message, detail=str(error)) from error
        if isinstance(answer, ConfinedResult):
            results.append(answer)
            return True
        if watch.progress is not None:
            watch.progress(answer.done, answer.total)
        return False

    worker.run(job, seconds=watch.seconds, allowed=watch.allowed, last=last)
    return results[0]


def failure(said: ConfinedResult, codes: Sequence[Code]) -> FednbError:
    """Return what failed: what of it may be told is put together here.

    The process may name any error and any line: the one comes from a closed list, the
    other lies in the code.

    Parameters
    ----------
    said
        By the confined process.
    codes
        That it ran.
    """
    kind = said.result.error if said.result.error in _ERRORS else "Exception"
    code = next((c for c in codes if c.sha256 == said.code), None)
    if code is None or not 1 <= said.line <= code.lines:
        return CodeError(kind, detail=said.result.detail)
    where = f"line {said.line} of {code.name[:_NAME]}"
    return CodeError(kind, where, detail=said.result.detail)

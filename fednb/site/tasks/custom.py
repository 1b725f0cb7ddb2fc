"""The confined worker's own half: walls first, then one job with a requester's code.

``python -I -m fednb.site.tasks.custom`` reads two frames on its standard input: which
walls to put up (`fednb.site.walls.Enclosure`), answered with those that hold, and the
job. It sees the table without names and without columns that the plan does not use,
volumes that another process prepared, and what it writes goes back as bytes. Whatever
it says is checked by who asked (`fednb.site.tasks.confined`): nothing here is trusted.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from fednb.errors import FednbError
from fednb.models.code import allow, place_of
from fednb.site.tasks.heart import heart
from fednb.site.tasks.job import (
    ConfinedJob,
    ConfinedResult,
    InitialiseJob,
    Job,
    JobResult,
    state_folder,
)
from fednb.site.walls import Enclosure, enclose
from fednb.wire.boundary import bounded
from fednb.wire.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE: Final = "table.csv"
EMBEDDING: Final = "embedding"

_encoder = msgspec.msgpack.Encoder()
_walls = msgspec.msgpack.Decoder(Enclosure)
_jobs = msgspec.msgpack.Decoder(ConfinedJob | InitialiseJob)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Put up walls and answer one job.

    Raises
    ------
    WireError
        `source` ends within a frame.
    OSError
        `sink` is closed.
    """
    asked = read_frame(source)
    if asked is None:
        return
    write_frame(sink, _encoder.encode(enclose(_walls.decode(asked))))
    frame = read_frame(source)
    if frame is None:
        return
    job = _jobs.decode(frame)
    result = bounded(
        lambda: _run(job, heart(job.id, sink)),
        _failure,
        # code may also exit
        ends=BaseException,
        passes=(BrokenPipeError,),
    )
    write_frame(sink, _encoder.encode(result))


def _run(
    job: ConfinedJob | InitialiseJob, advance: Callable[[int, int], None]
) -> ConfinedResult:
    # imported behind the walls: a process with threads could not put them up, and the
    # code that is run from here on may be anybody's
    from fednb.site.tasks.embed import embed
    from fednb.site.tasks.evaluate import evaluate
    from fednb.site.tasks.train import initialise, train

    allow()
    if isinstance(job, InitialiseJob):
        return ConfinedResult(initialise(job))
    inner = _unpacked(job)
    tasks = {"TrainingPlan": train, "EvaluationPlan": evaluate, "EmbeddingPlan": embed}
    result = tasks[type(inner.plan).__name__](inner, advance)
    return ConfinedResult(result, _left(inner))


def _unpacked(job: ConfinedJob) -> Job:
    """Write the job's files to this process's own folder."""
    folder = Path.cwd()
    (folder / TABLE).write_bytes(job.table)
    inner = msgspec.structs.replace(
        job.job,
        table=str(folder / TABLE),
        work=str(folder),
        embedding=EMBEDDING if job.job.embedding else "",
    )
    kept = state_folder(inner)
    kept.mkdir(parents=True)
    for name, data in job.state.items():
        (kept / name).write_bytes(data)
    return inner


def _left(job: Job) -> dict[str, bytes]:
    """Return the files that the task wrote: a strategy's state, or embeddings."""
    kept = sorted(state_folder(job).iterdir())
    files = {f"state/{path.name}": path.read_bytes() for path in kept}
    written = Path(job.work) / "embeddings" / EMBEDDING
    if written.is_file():
        files[EMBEDDING] = written.read_bytes()
    return files


def _failure(error: BaseException) -> ConfinedResult:
    """Return the error of somebody else's code as a result."""
    words = "".join(traceback.format_exception(error))
    if isinstance(error, FednbError) and error.detail:
        words += error.detail
    cause = error.cause if isinstance(error, FednbError) else "internal"
    result = JobResult("", error=type(error).__name__, detail=words, cause=cause)
    code, line = place_of(error)
    return ConfinedResult(result, code=code, line=line)


def main() -> None:
    """Serve this process's standard input and output; prints go nowhere."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

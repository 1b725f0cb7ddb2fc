"""The torch worker: jobs come in on stdin, progress and results leave on stdout.

``python -m fednb.site.tasks.worker`` reads frames of `Job`, `InitialiseJob` or
`Handover` (`fednb.wire.frames`, msgpack), runs one at a time, and ends when stdin does.
To stop a task, kill the process: nothing that it writes is left half-written.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec
import torch

from fednb.errors import FednbError, InputError
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan
from fednb.site.tasks.embed import embed
from fednb.site.tasks.evaluate import evaluate
from fednb.site.tasks.handover import hand_over
from fednb.site.tasks.heart import heart
from fednb.site.tasks.job import Handover, InitialiseJob, Job, JobResult
from fednb.site.tasks.train import initialise, train
from fednb.wire.boundary import bounded
from fednb.wire.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.errors import Cause

    Advance = Callable[[int, int], None]

TASKS: Final[dict[type, Callable[[Job, Advance], JobResult]]] = {
    TrainingPlan: train,
    EvaluationPlan: evaluate,
    EmbeddingPlan: embed,
}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Job | InitialiseJob | Handover)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer jobs until `source` ends.

    Raises
    ------
    WireError
        `source` ends within a frame, or a frame is too large.
    OSError
        `sink` is closed: nobody is left to work for.
    """
    while (frame := read_frame(source)) is not None:
        try:
            job = _decoder.decode(frame)
        except msgspec.DecodeError as error:
            result = JobResult("", error="WireError", cause="malformed")
            result = msgspec.structs.replace(result, detail=str(error))
        else:
            result = run(job, sink)
        write_frame(sink, _encoder.encode(result))


def run(job: Job | InitialiseJob | Handover, sink: BinaryIO) -> JobResult:
    """Run one job; a failure is a result too, and the next job is taken.

    Parameters
    ----------
    job
        What to do.
    sink
        Where `Progress` frames go.

    Raises
    ------
    BrokenPipeError
        Nobody is left to work for.
    """
    return bounded(
        lambda: _dispatch(job, heart(job.id, sink)),
        lambda error: _failure(job.id, error),
        passes=(BrokenPipeError,),
    )


def _dispatch(job: Job | InitialiseJob | Handover, advance: Advance) -> JobResult:
    if isinstance(job, InitialiseJob):
        return initialise(job)
    if isinstance(job, Handover):
        return hand_over(job, advance)
    task = TASKS.get(type(job.plan))
    if task is None:
        message = f"The torch worker has no task for {type(job.plan).__name__}."
        raise InputError(message)
    return task(job, advance)


def _failure(job: str, error: BaseException) -> JobResult:
    return JobResult(
        job,
        error=type(error).__name__,
        detail=_describe(error),
        cause=_cause(error),
    )


def _describe(error: BaseException) -> str:
    """Return message, private detail and traceback, for the site's owner alone."""
    private = error.detail if isinstance(error, FednbError) else ""
    trace = "".join(traceback.format_exception(error))
    return "\n".join(part for part in (str(error), private, trace) if part)


def _cause(error: BaseException) -> Cause:
    """Return what a requester may be told."""
    if isinstance(error, FednbError):
        return error.cause
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "limit"
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return "storage" if full else "internal"


def main() -> None:
    """Serve this process's stdin and stdout; stray prints go to stderr."""
    # Ctrl-C in a terminal reaches the whole group; only the parent decides to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

"""A warm worker process: frames of bytes over pipes, no pickle.

One task at a time. Stopping is killing: the next task starts a fresh process.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from fednb.config import MAX_MESSAGE_BYTES
from fednb.errors import FednbError, RunStoppedError, WireError
from fednb.wire.frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.25
_WAITING = 64
"""Frames that wait to be taken; a worker that sends more waits itself."""

_ENVIRONMENT = {
    # glibc gives large blocks back at once, and asks for them again at the next step:
    # most page faults of training on a CPU
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20),
}
"""Of a worker, where the site's own environment does not say otherwise."""

Frames = queue.Queue[bytes | None]


class WorkerProcess:
    """Starts the worker on first use, and again after a kill.

    Parameters
    ----------
    module
        Module that the process runs.
    """

    def __init__(self, module: str = "fednb.site.tasks.worker") -> None:
        self._module = module
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._frames: Frames = queue.Queue(_WAITING)
        self._shut = False

    @property
    def pid(self) -> int:
        """Process id of the worker; 0 where none runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def run(
        self,
        job: bytes,
        *,
        seconds: float,
        allowed: Callable[[], bool],
        last: Callable[[bytes], bool],
    ) -> bytes:
        """Run a job and wait for its result.

        Parameters
        ----------
        job
            The work, one frame.
        seconds
            Wall time after which the worker is killed.
        allowed
            Asked several times a second; False kills the worker.
        last
            Shown every frame that the worker sends; True for the result, False for
            progress.

        Returns
        -------
        frame
            The result.

        Raises
        ------
        RunStoppedError
            The job was stopped, or took too long.
        FednbError
            The worker died, or the task failed; the private detail says why.
        """
        with self._turn:
            if self._shut or not allowed():
                message = "The task was stopped before it began."
                raise RunStoppedError(message, cause="stopped")
            return self._run(job, time.monotonic() + seconds, allowed, last)

    def kill(self) -> None:
        """End the worker at once."""
        process = self._process
        if process is not None:
            process.kill()

    def shut(self) -> None:
        """Take no more jobs, and kill the one in progress."""
        self._shut = True
        self.kill()

    def close(self) -> None:
        """End the worker and collect it."""
        process = self._process
        self._process = None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                # a job that a killed worker did not take is lost with it
                with suppress(OSError):
                    stream.close()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process: frames on its standard input and output."""
        return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **_ENVIRONMENT,
                **os.environ,
                "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            },
        )

    def _run(
        self,
        job: bytes,
        deadline: float,
        allowed: Callable[[], bool],
        last: Callable[[bytes], bool],
    ) -> bytes:
        process = self._started()
        # a worker that still imports torch takes no job, and is stopped all the same
        threading.Thread(
            target=_write, args=(process, job), daemon=True, name="fednb-job"
        ).start()
        while True:
            frame = self._next(deadline, allowed)
            if frame is None:
                code = process.wait()
                self.close()
                message = f"The worker process ended with code {code}."
                raise FednbError(message)
            if last(frame):
                return frame

    def _next(self, deadline: float, allowed: Callable[[], bool]) -> bytes | None:
        """Wait for a frame; kill the worker where it may not or must not go on."""
        while True:
            try:
                return self._frames.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                late = time.monotonic() > deadline
                if not late and allowed():
                    continue
            self.close()
            if late:
                message = "The task took longer than the contract's cap on seconds."
                raise RunStoppedError(message, cause="limit")
            message = "The task was stopped."
            raise RunStoppedError(message, cause="stopped")

    def _started(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and process.poll() is None:
            return process
        self.close()
        self._frames = queue.Queue(_WAITING)
        self._process = process = self.launch()
        reader = threading.Thread(
            target=_read, args=(process, self._frames), daemon=True, name="fednb-worker"
        )
        reader.start()
        return process


def _write(process: subprocess.Popen[bytes], job: bytes) -> None:
    """Hand the worker its job; one that takes none is as good as dead."""
    try:
        write_frame(cast("BinaryIO", process.stdin), job)
    except (OSError, ValueError):
        process.kill()


def _read(process: subprocess.Popen[bytes], frames: Frames) -> None:
    """Put the worker's frames into a queue, then None when it ends."""
    stream = process.stdout
    try:
        while stream is not None:
            frame = read_frame(cast("BinaryIO", stream), MAX_MESSAGE_BYTES)
            if not frame:
                break
            _hand(process, frames, bytes(frame))
    except (OSError, ValueError, WireError):
        # a killed worker leaves half a frame: its end is all that matters
        process.kill()
    _hand(process, frames, None)


def _hand(
    process: subprocess.Popen[bytes], frames: Frames, frame: bytes | None
) -> None:
    """Put a frame into the queue, unless it is full and nobody works any more."""
    while True:
        try:
            frames.put(frame, timeout=_POLL_SECONDS)
        except queue.Full:
            if process.poll() is None:
                continue
        return

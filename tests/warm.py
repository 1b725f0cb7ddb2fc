"""Torch workers that serve one federation of a test process after the other.

A worker imports torch for seconds, and keeps nothing of a job. What a worker process is
as such is tested without this, in `site/test_worker_process.py`, `site/tasks` and
`flare`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from fednb.site.worker_process import Frames, WorkerProcess

if TYPE_CHECKING:
    import subprocess

_idle: list[tuple[subprocess.Popen[bytes], Frames]] = []


class WarmWorker(WorkerProcess):
    """A worker whose process goes to the next one, where it is idle at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._killed = False

    @override
    def kill(self) -> None:
        self._killed = True
        super().kill()

    @override
    def shut(self) -> None:
        self._shut = True
        if self._turn.locked():
            self.kill()

    @override
    def close(self) -> None:
        process = self._process
        idle = process is not None and process.poll() is None and not self._killed
        # a job that was told to stop holds the turn: its process is not kept
        if idle and self._turn.acquire(blocking=False):
            _idle.append((process, self._frames))
            self._process = None
            self._turn.release()
        super().close()

    @override
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None and _idle:
            self._process, self._frames = _idle.pop()
        started = super()._started()
        self._killed = False
        return started


def end() -> None:
    """End the workers that nobody has taken again."""
    while _idle:
        last = WorkerProcess()
        last._process, last._frames = _idle.pop()
        last.close()

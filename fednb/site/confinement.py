"""The confined worker: one process a call, in which a requester's own code runs.

It gets bytes over a pipe and gives bytes back. Before the job is sent the process puts
walls around itself (`fednb.site.walls`) and says which of them hold; where its owner
demands all and one is missing, the job is never sent. Its environment is empty but for
a few settings, it sees one empty folder that is deleted after it, and it is killed at
its deadline, when it is stopped, or when the folder fills.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from typing_extensions import override

from fednb.errors import FednbError, RunError, RunStoppedError
from fednb.site.walls import GIB, Demand, Enclosure, Limits, Terms, Walls
from fednb.site.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MODULE: Final = "fednb.site.tasks.custom"

_START_SECONDS: Final = 60.0
_MOST_FILES: Final = 1000
_encoder = msgspec.msgpack.Encoder()
_walls = msgspec.msgpack.Decoder(Walls)


def objection(walls: Walls, demand: Demand) -> str:
    """Return why code may not run behind some walls; empty where it may.

    Parameters
    ----------
    walls
        Those that hold.
    demand
        Of the site's policy.
    """
    if walls.complete or demand == "where-possible":
        return ""
    return (
        "The policy has confinement = 'required', and this machine cannot confine "
        f"custom code in full: {'; '.join(walls.missing)}. Run the site where the "
        "kernel can, or set confinement = 'where-possible'."
    )


class ConfinedWorker(WorkerProcess):
    """A process for one job, behind walls; a context manager that ends it.

    Parameters
    ----------
    terms
        What the owner allows.
    readable
        Files and folders that it may read beside its libraries.
    private
        Files and folders that must not open from within; they are tried.
    seconds
        Processor time; the wall time is given to `run`.
    """

    def __init__(
        self,
        terms: Terms,
        *,
        readable: tuple[str, ...] = (),
        private: tuple[str, ...] = (),
        seconds: float = 3600.0,
    ) -> None:
        super().__init__(MODULE)
        self._terms = terms
        self._readable = readable
        self._private = private
        self._seconds = seconds
        self._folder = Path(tempfile.mkdtemp(prefix="fednb-confined-"))
        self.walls = Walls(network=False, files=False, calls=False)

    def __enter__(self) -> ConfinedWorker:
        """Start the process and have it put its walls up.

        Raises
        ------
        RunError
            A wall that the terms demand does not hold; the message is for the owner.
        """
        try:
            self._enclose()
        except FednbError:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @override
    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process with nothing of this one's but a pipe each way."""
        return subprocess.Popen(  # noqa: S603  (our own interpreter and module)
            [sys.executable, "-I", "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # what it writes there may be of patients, and logs travel
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=environment(str(self._folder)),
            start_new_session=True,
        )

    @override
    def run(
        self,
        job: bytes,
        *,
        seconds: float,
        allowed: Callable[[], bool],
        last: Callable[[bytes], bool],
    ) -> bytes:
        """Run the job; see `WorkerProcess.run`. It is killed when its folder is full.

        Raises
        ------
        RunStoppedError
            The job was stopped, took too long, or wrote too much.
        FednbError
            The worker died.
        """
        full = False

        def going_on() -> bool:
            nonlocal full
            full = _is_over(self._folder, self._terms.disk)
            return not full and allowed()

        try:
            return super().run(job, seconds=seconds, allowed=going_on, last=last)
        except RunStoppedError as error:
            if not full:
                raise
            message = f"The code wrote more than {self._terms.disk} bytes."
            raise RunStoppedError(message, cause="limit") from error

    def _enclose(self) -> None:
        enclosure = Enclosure(
            str(self._folder),
            self._readable,
            self._private,
            Limits(round(self._terms.memory_gib * GIB), round(self._seconds) + 1),
            self._terms.without,
        )
        frame = super().run(
            _encoder.encode(enclosure),
            seconds=_START_SECONDS,
            allowed=lambda: True,
            last=lambda _: True,
        )
        # the requester's code is not there yet: this answer is our own
        self.walls = _walls.decode(frame)
        why = objection(self.walls, self._terms.demand)
        if why:
            raise RunError(why, cause="no-confinement")


def environment(folder: str) -> dict[str, str]:
    """Return all that a confined process finds in its environment.

    Parameters
    ----------
    folder
        Its own.
    """
    one_thread = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    kept = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        **dict.fromkeys(one_thread, "1"),
        # a driver is no wall, and graphics memory has none: such code has no GPU
        "CUDA_VISIBLE_DEVICES": "",
        **{name: value for name, value in kept.items() if value},
    }


@lru_cache(maxsize=1)
def probe() -> Walls:
    """Return the walls that hold on this machine, by starting a confined worker once.

    Raises
    ------
    FednbError
        No process could be started.
    """
    with ConfinedWorker(Terms("where-possible")) as worker:
        return worker.walls


def _is_over(folder: Path, disk: int) -> bool:
    """Whether the files in a folder are too many or too large together."""
    total = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            count += 1
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                # it was deleted meanwhile
                continue
        if total > disk or count > _MOST_FILES:
            return True
    return False

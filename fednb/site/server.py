"""A site's server: bytes in, bytes out, and nothing else passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.errors import WireError
from fednb.site.gatekeeper import Gatekeeper, initial_weights
from fednb.site.home import Home
from fednb.site.worker_process import WorkerProcess
from fednb.wire.codec import decode_ask

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["SiteServer", "initial_weights"]


class SiteServer:
    """Serves one home; the only server on it.

    Parameters
    ----------
    path
        The home folder.
    worker
        A torch worker to share with other sites in this process; None: one's own.
    in_call
        Whether `handle` returns only when a task has ended. Without, a call is held
        open for a while, and "working" is answered: a connection does not last.

    Raises
    ------
    HomeError
        There is no home, it is of a newer schema, or another server holds it.
    """

    def __init__(
        self,
        path: str | Path,
        worker: WorkerProcess | None = None,
        *,
        in_call: bool = False,
    ) -> None:
        self._home = Home(path)
        self._home.lock()
        self._own_worker = worker is None
        self._worker = worker or WorkerProcess()
        self._gatekeeper = Gatekeeper(self._home, self._worker, in_call=in_call)

    @property
    def path(self) -> Path:
        """The home folder."""
        return self._home.path

    @property
    def name(self) -> str:
        """Name of the site."""
        return self._home.get("name")

    def handle(self, frame: bytes) -> bytes:
        """Answer a message; whatever happens, an answer of the closed list leaves.

        Parameters
        ----------
        frame
            Bytes of `fednb.wire.codec`.
        """
        boundary = _Boundary(self._gatekeeper)
        with boundary:
            ask = decode_ask(frame)
            boundary.about["message"] = type(ask).__name__
            boundary.reply = self._gatekeeper.handle(ask, boundary.about)
        return boundary.reply

    def close(self) -> None:
        """Stop serving and let go of the home."""
        if self._own_worker:
            self._worker.shut()
        self._gatekeeper.close()
        if self._own_worker:
            self._worker.close()
        self._home.close()


class _Boundary:
    """Where errors end: no exception and no word of one crosses to the coordinator.

    A context manager rather than an ``except``, because it must hold for every error
    there is, including those of libraries that nobody foresaw.
    """

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self._gatekeeper = gatekeeper
        self.about: dict[str, object] = {}
        self.reply = b""

    def __enter__(self) -> _Boundary:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if isinstance(error, WireError):
            self.about["bytes"] = "unreadable"
        self.reply = self._gatekeeper.refuse(error, self.about)
        return True

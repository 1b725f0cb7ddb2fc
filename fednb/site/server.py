"""A site's server: bytes in, bytes out, and nothing else passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.errors import WireError
from fednb.site.gatekeeper import Gatekeeper, initial_weights
from fednb.site.home import Home
from fednb.site.worker_process import WorkerProcess
from fednb.wire.boundary import bounded
from fednb.wire.codec import decode_ask

if TYPE_CHECKING:
    from pathlib import Path

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
        about: dict[str, object] = {}

        def answer() -> bytes:
            ask = decode_ask(frame)
            about["message"] = type(ask).__name__
            return self._gatekeeper.handle(ask, about)

        def refuse(error: BaseException) -> bytes:
            if isinstance(error, WireError):
                about["bytes"] = "unreadable"
            return self._gatekeeper.refuse(error, about)

        return bounded(answer, refuse)

    def close(self) -> None:
        """Stop serving and let go of the home."""
        if self._own_worker:
            self._worker.shut()
        self._gatekeeper.close()
        if self._own_worker:
            self._worker.close()
        self._home.close()

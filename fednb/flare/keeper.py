"""The keeper: restarts a lost server and opens lost sessions again.

It runs at the coordinating site, beside the server. Its certificate may open sessions
and nothing else: it asks no site for anything, and what a new session goes on with was
signed by a scientist and approved by every owner before.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fednb.coordinator.store import Store
from fednb.errors import FednbError
from fednb.flare.admin import LOST, Admin
from fednb.flare.controller import WORD, was_lost
from fednb.flare.kit import Kit
from fednb.flare.processes import pid_of, start

if TYPE_CHECKING:
    from types import FrameType

PERIOD_SECONDS: Final = 2.0
_log = logging.getLogger(__name__)

Look = Literal["well", "restarted", "opened", "waiting"]


class Keeper:
    """Looks after one server.

    Parameters
    ----------
    server
        Kit of the server, on this machine.
    own
        Kit of the keeper.
    """

    def __init__(self, server: Kit, own: Kit) -> None:
        self._server = server
        self._admin = Admin(own)
        self._logged_in = False
        self._last = 0

    def tend(self) -> Look:
        """Look once, and do what is needed.

        Returns
        -------
        look
            ``"restarted"``: the server was gone; ``"opened"``: runs had no session;
            ``"waiting"``: the server or its sites are not there yet.
        """
        if not pid_of(self._server.path):
            self._logged_in = False
            start(self._server.path)
            return "restarted"
        if self._written() or not self._runs_wait():
            return "well"
        try:
            if not self._logged_in:
                self._admin.log_in()
                self._logged_in = True
            return self._open()
        except LOST:
            self._logged_in = False
            return "waiting"

    def watch(self, ended: threading.Event) -> None:
        """Look every two seconds until `ended`."""
        while not ended.wait(PERIOD_SECONDS):
            try:
                look = self.tend()
            except FednbError as error:
                _log.warning("%s %s", error, error.detail)
                continue
            if look != "well":
                _log.info("%s", look)
        self._admin.log_out()

    def _written(self) -> bool:
        """Whether the database was written since the last look: a session lives."""
        path = self._server.home / "coordinator.sqlite-wal"
        with contextlib.suppress(OSError):
            written = path.stat().st_mtime_ns
            known, self._last = self._last, written
            return known not in {0, written}
        return False

    def _runs_wait(self) -> bool:
        """Whether runs stand still, or would, if there were no session."""
        home = self._server.home
        if not (home / "coordinator.sqlite").is_file():
            return False
        store = Store(home)
        try:
            return (home / WORD).is_file() or any(map(was_lost, store.runs()))
        finally:
            store.close()

    def _open(self) -> Look:
        if self._admin.sessions():
            return "well"
        if not set(self._server.config.sites) <= self._admin.clients():
            return "waiting"
        self._admin.submit()
        return "opened"


def main(arguments: list[str]) -> None:
    """Keep the server of the first kit with the certificate of the second."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server, own = (Kit(Path(argument)) for argument in arguments)
    Keeper(server, own).watch(ended)


if __name__ == "__main__":
    main(sys.argv[1:])

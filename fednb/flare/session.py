"""A notebook's end: one FLARE job is one session, and a lost one is opened again."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from nvflare.fuel.flare_api.api_spec import JobNotRunning

from fednb.coordinator.contracting import Scientist
from fednb.coordinator.federation import Federation
from fednb.errors import FednbError, InputError, WireError
from fednb.flare.admin import COMMAND_SECONDS, LOST, QUICK_SECONDS, Admin
from fednb.flare.envelope import Command, ask
from fednb.flare.identity import endorse, vouch
from fednb.flare.kit import Kit
from fednb.records.service import AskEvents, Control
from fednb.wire.codec import decode_service_ask

if TYPE_CHECKING:
    from pathlib import Path

SESSION_SECONDS: Final = 90.0
SITES_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.25  # each look takes time from the workers that are starting


class FlarePort:
    """Carries messages from a notebook to the service in the server's job.

    Parameters
    ----------
    kit
        A user's kit.
    key
        The scientist's Ed25519 public key, hexadecimal, which the kit vouches for.
    sites_seconds
        How long to wait for sites to connect before a session is opened without them.

    Raises
    ------
    InputError
        The kit is not a user's, or has expired.
    FednbError
        The server is not there, refuses the kit, or opens no session.
    """

    def __init__(
        self, kit: Kit, key: str, *, sites_seconds: float = SITES_SECONDS
    ) -> None:
        _check_user(kit)
        self._sites = frozenset(kit.config.sites)
        self._sites_seconds = sites_seconds
        self._endorsement = endorse(kit, key)
        self._admin = Admin(kit)
        self._lock = threading.RLock()
        self._job = ""
        try:
            self._open("")
        finally:
            if not self._job:
                # a connection that is left open would keep the process alive
                self._admin.log_out()

    @property
    def job(self) -> str:
        """Id of the FLARE job in which the session runs."""
        return self._job

    def call(self, message: bytes) -> bytes:
        """See `fednb.wire.transport.ServicePort.call`.

        A session that was lost is opened again, and the message sent once more: the
        service answers a repeated message as the first.
        """
        asked = decode_service_ask(message)
        if isinstance(asked, Control):
            self._catch_up()
        seconds = COMMAND_SECONDS
        if isinstance(asked, AskEvents):
            seconds = QUICK_SECONDS + asked.wait
        job = self._job
        frame = vouch(message, self._endorsement)
        try:
            return ask(frame, lambda data: self._send(data, seconds))
        except LOST:
            self._open(job)
        try:
            return ask(frame, lambda data: self._send(data, seconds))
        except LOST as error:
            raise self._admin.unreachable(error) from error

    def close(self) -> None:
        """Log out; the session and its runs go on."""
        with self._lock:
            self._admin.log_out()

    def end(self) -> None:
        """End the session itself; runs in it can go on in a later one."""
        with self._lock:
            self._admin.abort(self._job)
            self._admin.log_out()

    def _catch_up(self) -> None:
        """Before a run is resumed: reach the sites that have come back."""
        with self._lock:
            deadline = time.monotonic() + SESSION_SECONDS
            with contextlib.suppress(*LOST):
                if self._outgrown(self._job, deadline):
                    self._open(self._job)

    def _open(self, lost: str) -> None:
        """Attach to the session that there is, or open one.

        Parameters
        ----------
        lost
            Job in which the session was lost; another thread may have found another.
        """
        with self._lock:
            if lost != self._job:
                return
            deadline = time.monotonic() + SESSION_SECONDS
            self._log_in(deadline)
            # sessions end as they begin while what a lost one left is being cleared
            while time.monotonic() < deadline:
                try:
                    job = self._attached(deadline) or self._opened(deadline)
                except LOST:
                    self._log_in(deadline)
                    continue
                if job:
                    self._job = job
                    return
        message = (
            f"The server opened no session in {SESSION_SECONDS:g} s: each ended as it "
            "began. See log.txt in the server's kit."
        )
        raise FednbError(message)

    def _log_in(self, deadline: float) -> None:
        """Log in; who had a session before waits for a server that is restarted."""
        while True:
            try:
                self._admin.log_in()
            except LOST as error:
                if not self._job or time.monotonic() >= deadline:
                    raise self._admin.unreachable(error) from error
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _attached(self, deadline: float) -> str:
        """Return the job of a session that is there; empty: none, or it ended."""
        for job in self._admin.sessions():
            if self._becomes_ready(job, deadline) and not self._outgrown(job, deadline):
                return job
        return ""

    def _outgrown(self, job: str, deadline: float) -> bool:
        """End an idle session that lacks a site which has come back since."""
        reply = self._admin.command(job, {"hello": 1})
        back = self._admin.clients() & set(reply.get("missing") or ())
        if not back or reply.get("busy") or not self._admin.abort(job):
            return False
        while job in self._admin.sessions() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return True

    def _opened(self, deadline: float) -> str:
        """Open a session and return its job; empty where it ended at once."""
        enough = min(deadline, time.monotonic() + self._sites_seconds)
        while not self._sites <= self._admin.clients() and time.monotonic() < enough:
            time.sleep(_POLL_SECONDS)
        job = self._admin.submit()
        return job if self._becomes_ready(job, deadline) else ""

    def _becomes_ready(self, job: str, deadline: float) -> bool:
        """Wait until a session's service is ready; False where the session ended."""
        while time.monotonic() < deadline:
            reply: dict[str, Any] = {}
            with contextlib.suppress(*LOST):
                reply = self._admin.command(job, {"hello": 1})
            if reply.get("ended"):
                return False
            if reply.get("ready"):
                return True
            if not reply and job not in self._admin.sessions():
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def _send(self, data: Command, seconds: float) -> Command:
        reply = self._admin.command(self._job, data, seconds)
        if reply.get("ended"):
            raise JobNotRunning(self._job)
        if "fault" in reply:
            raise WireError(str(reply["fault"]))
        return reply


def connect(kit: str | Path, *, sites_seconds: float = SITES_SECONDS) -> Federation:
    """Return the federation that a user's kit gives access to.

    Parameters
    ----------
    kit
        The kit's folder. The scientist's signing key is made and kept in its ``keys``.
    sites_seconds
        How long to wait for sites to connect before going on without them.

    Raises
    ------
    InputError
        The folder is no user's kit, or the kit has expired or is of another version.
    FednbError
        The server is not there, or refuses the kit.
    """
    opened = Kit(kit)
    # before anything is written into it
    _check_user(opened)
    keys = opened.path / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    scientist = Scientist(keys, opened.config.party)
    port = FlarePort(opened, scientist.public_key, sites_seconds=sites_seconds)
    return Federation(port, scientist)


def _check_user(kit: Kit) -> None:
    """Refuse a kit that is not a user's, or not valid now.

    Raises
    ------
    InputError
        It is another party's, or has expired.
    """
    if kit.config.kind != "user":
        message = (
            f"{kit.path} is the kit of a {kit.config.kind}; connect with the kit "
            "of a user."
        )
        raise InputError(message)
    kit.certificate()

"""A notebook's end: one FLARE job is one session, and a lost one is opened again."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nvflare.apis.fl_exception import FLCommunicationError
from nvflare.apis.job_def import RunStatus
from nvflare.fuel.flare_api.api_spec import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    JobNotFound,
    JobNotRunning,
    NoConnection,
    NoReply,
    SessionClosed,
    SessionExpired,
    TargetType,
)
from nvflare.fuel.flare_api.flare_api import new_secure_session

from fednb.coordinator.contracting import Scientist
from fednb.coordinator.federation import Federation
from fednb.errors import FednbError, InputError, WireError
from fednb.flare.envelope import TOPIC, Command, ask
from fednb.flare.identity import endorse, vouch
from fednb.flare.kit import Kit
from fednb.flare.provision import CONTROLLER, EXECUTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nvflare.fuel.flare_api.flare_api import Session

JOB_NAME: Final = "fednb-session"
CONNECT_SECONDS: Final = 15.0
SESSION_SECONDS: Final = 90.0
COMMAND_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.1
_LOST: Final = (
    InternalError,
    JobNotFound,
    JobNotRunning,
    NoConnection,
    NoReply,
    SessionClosed,
    SessionExpired,
    RuntimeError,
    OSError,
)
_REFUSED: Final = (
    AuthenticationError,
    AuthorizationError,
    FLCommunicationError,
    ssl.SSLError,
)
_LIVE: Final = (
    RunStatus.SUBMITTED.value,
    RunStatus.APPROVED.value,
    RunStatus.DISPATCHED.value,
    RunStatus.RUNNING.value,
)


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

    def __init__(self, kit: Kit, key: str, *, sites_seconds: float = 20.0) -> None:
        if kit.config.kind != "user":
            message = (
                f"{kit.path} is the kit of a {kit.config.kind}; connect with the kit "
                "of a user."
            )
            raise InputError(message)
        kit.certificate()
        self._kit = kit
        self._endorsement = endorse(kit, key)
        self._sites_seconds = sites_seconds
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._job = ""
        self.renew()

    @property
    def job(self) -> str:
        """Id of the FLARE job in which the session runs."""
        return self._job

    def call(self, message: bytes) -> bytes:
        """See `fednb.wire.transport.ServicePort.call`.

        A session that was lost is opened again, and the message sent once more: the
        service answers a repeated message as the first.
        """
        job = self._job
        frame = vouch(message, self._endorsement)
        try:
            return ask(frame, self._send)
        except _LOST:
            self.renew(job)
        try:
            return ask(frame, self._send)
        except _LOST as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Log out; the session and its runs go on."""
        with self._lock:
            self._log_out()

    def end(self) -> None:
        """End the session itself, and with it what runs in it; runs can go on later."""
        with self._lock:
            if self._session is not None and self._job:
                with contextlib.suppress(*_LOST), _quiet():
                    self._session.abort_job(self._job)
            self._log_out()

    def renew(self, lost: str = "") -> None:
        """Attach to the session there is, or open one.

        Parameters
        ----------
        lost
            Job in which the session was lost; another thread may have renewed it.
        """
        with self._lock:
            if lost and lost != self._job:
                return
            deadline = time.monotonic() + SESSION_SECONDS
            self._log_out()
            self._log_in(deadline)
            self._job = self._running(deadline) or self._submit(deadline)

    def _log_in(self, deadline: float) -> None:
        user, folder = self._kit.config.party, str(self._kit.path)
        while True:
            try:
                knock(self._kit)
                with _quiet():
                    session = new_secure_session(user, folder, timeout=CONNECT_SECONDS)
            except _REFUSED as error:
                message = (
                    f"The kit of {user} was refused: the server is another "
                    "federation's, or the certificate is not this user's."
                )
                raise FednbError(message, detail=str(error)) from error
            except _LOST as error:
                if not self._job or time.monotonic() >= deadline:
                    raise self._unreachable(error) from error
                time.sleep(_POLL_SECONDS)
                continue
            session.set_timeout(COMMAND_SECONDS)
            self._session = session
            return

    def _log_out(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(*_LOST), _quiet():
                session.set_timeout(2.0)
                session.close()

    def _running(self, deadline: float) -> str:
        """Return the job of a session that lives, whatever the job list says."""
        session = self._logged_in()
        for job in session.list_jobs(detailed=False, limit=20, name_prefix=JOB_NAME):
            if job.get("status") not in _LIVE:
                continue
            name = str(job.get("job_id"))
            if self._becomes_ready(name, min(deadline, time.monotonic() + 1.0)):
                return name
        return ""

    def _submit(self, deadline: float) -> str:
        session = self._logged_in()
        self._await_sites(min(deadline, time.monotonic() + self._sites_seconds))
        while time.monotonic() < deadline:
            with tempfile.TemporaryDirectory(prefix="fednb-job-") as name:
                write_job(Path(name) / JOB_NAME)
                with _quiet():
                    job = str(session.submit_job(str(Path(name) / JOB_NAME)))
            if self._becomes_ready(job, deadline):
                return job
        message = (
            f"No session opened within {SESSION_SECONDS:.0f} s. See log.txt in the "
            "server's kit."
        )
        raise FednbError(message)

    def _becomes_ready(self, job: str, deadline: float) -> bool:
        """Wait until a job's service is ready; False where it ended or never began."""
        while time.monotonic() < deadline:
            with contextlib.suppress(*_LOST):
                reply = self._command(job, {"hello": 1})
                if reply.get("ready") or reply.get("ended"):
                    return not reply.get("ended")
            with contextlib.suppress(*_LOST):
                if self._logged_in().get_job_status(job) not in _LIVE:
                    return False
            time.sleep(_POLL_SECONDS)
        return False

    def _await_sites(self, deadline: float) -> None:
        wanted = set(self._kit.config.sites)
        while time.monotonic() < deadline:
            status = self._logged_in().check_status(TargetType.SERVER)
            if wanted <= {c.get("client_name") for c in status.get("clients", [])}:
                return
            time.sleep(_POLL_SECONDS)

    def _send(self, data: Command) -> Command:
        reply = self._command(self._job, data)
        if reply.get("ended"):
            raise JobNotRunning(self._job)
        if "fault" in reply:
            raise WireError(str(reply["fault"]))
        return reply

    def _command(self, job: str, data: Command) -> dict[str, Any]:
        reply = self._logged_in().do_app_command(job, TOPIC, data)
        if not isinstance(reply, dict):
            message = "The coordinator's reply is not one."
            raise WireError(message)
        return reply

    def _logged_in(self) -> Session:
        if self._session is None:
            message = "The connection was closed; connect again."
            raise FednbError(message)
        return self._session

    def _unreachable(self, error: Exception) -> FednbError:
        config = self._kit.config
        message = (
            f"The server of {config.project!r} does not answer at "
            f"{config.host}:{config.port}. Is it running?"
        )
        return FednbError(message, detail=repr(error))


def connect(kit: str | Path, *, sites_seconds: float = 20.0) -> Federation:
    """Return the federation that a user's kit gives access to.

    Parameters
    ----------
    kit
        The kit's folder. The scientist's signing key lives in it.
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
    keys = opened.path / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    scientist = Scientist(keys, opened.config.party)
    port = FlarePort(opened, scientist.public_key, sites_seconds=sites_seconds)
    return Federation(port, scientist)


def knock(kit: Kit) -> None:
    """Shake hands with a kit's server, which tells at once what FLARE tells late.

    Raises
    ------
    OSError
        Nothing listens there.
    ssl.SSLError
        The server's certificate is not of the kit's federation.
    """
    config = kit.config
    context = ssl.create_default_context(cafile=kit.startup / "rootCA.pem")
    context.load_cert_chain(kit.startup / "client.crt", kit.startup / "client.key")
    address = (config.host, config.port)
    with (
        socket.create_connection(address, timeout=CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=config.host),
    ):
        return


def write_job(folder: Path) -> None:
    """Write the job that is a session: three small files, no code."""
    config = folder / "app" / "config"
    config.mkdir(parents=True)
    meta = {
        "name": JOB_NAME,
        "resource_spec": {},
        "min_clients": 1,
        "deploy_map": {"app": ["@ALL"]},
    }
    server = {
        "format_version": 2,
        "workflows": [{"id": "fednb", "path": CONTROLLER, "args": {}}],
        "components": [],
    }
    site = {
        "format_version": 2,
        "executors": [{"tasks": ["fednb"], "executor": {"path": EXECUTOR, "args": {}}}],
        "components": [],
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    (config / "config_fed_server.json").write_text(json.dumps(server))
    (config / "config_fed_client.json").write_text(json.dumps(site))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep FLARE's printed progress out of the notebook while a session opens."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        yield

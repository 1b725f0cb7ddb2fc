"""FLARE's admin connection of one user: log in, look, open and end sessions."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
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

from fednb.errors import FednbError, WireError
from fednb.flare.envelope import TOPIC, Command
from fednb.flare.identity import read_root
from fednb.flare.provision import CONTROLLER, EXECUTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nvflare.fuel.flare_api.flare_api import Session

    from fednb.flare.kit import Kit

JOB_NAME: Final = "fednb-session"
CONNECT_SECONDS: Final = 15.0
COMMAND_SECONDS: Final = 600.0
QUICK_SECONDS: Final = 30.0
"""For what is answered at once: a server that was killed says nothing at all."""
LOST: Final = (
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
"""What FLARE raises where a job, a session or the server is gone."""

_REFUSED: Final = (
    AuthenticationError,
    AuthorizationError,
    FLCommunicationError,
    ssl.SSLError,
)
_WAITING: Final = (
    RunStatus.SUBMITTED.value,
    RunStatus.APPROVED.value,
    RunStatus.DISPATCHED.value,
)


class Admin:
    """One user's connection to the server.

    Parameters
    ----------
    kit
        Of the user.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._session: Session | None = None

    def log_in(self) -> None:
        """Connect anew.

        Raises
        ------
        FednbError
            The server, or the kit's certificate, is another federation's.
        LOST
            The server is not there.
        """
        self.log_out()
        user, folder = self._kit.config.party, str(self._kit.path)
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
        session.set_timeout(COMMAND_SECONDS)
        self._session = session

    def log_out(self) -> None:
        """Let go of the connection; may be called where there is none."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(*LOST), _quiet():
                session.set_timeout(2.0)
                session.close()

    def clients(self) -> set[str]:
        """Return the names of the sites that are connected."""
        status = self._logged_in().check_status(TargetType.SERVER)
        return {str(c.get("client_name")) for c in status.get("clients") or ()}

    def sessions(self) -> list[str]:
        """Return the jobs of sessions that live or will, the oldest first.

        A job that FLARE lists as running is taken for one only where its process is
        there: a server that was restarted goes on listing jobs that died with it.
        """
        session = self._logged_in()
        # in this order: a job that starts between the two is found by the second
        listed = session.list_jobs(detailed=False, name_prefix=JOB_NAME)
        status = session.check_status(TargetType.SERVER)
        alive = {str(j.get("job_id")) for j in status.get("jobs") or ()}
        found = [(str(j.get("job_id")), j.get("status")) for j in listed]
        return [job for job, state in found if job in alive or state in _WAITING]

    def submit(self, executor: str = EXECUTOR) -> str:
        """Hand in a new session and return its job.

        Parameters
        ----------
        executor
            Class that serves at the sites; each must allow it.
        """
        with tempfile.TemporaryDirectory(prefix="fednb-job-") as name:
            folder = Path(name) / JOB_NAME
            write_job(folder, executor)
            return self.submit_folder(folder)

    def submit_folder(self, folder: Path) -> str:
        """Hand in the job that lies in a folder and return its id."""
        with _quiet():
            return str(self._logged_in().submit_job(str(folder)))

    def abort(self, job: str) -> bool:
        """End a session; False where another user opened it."""
        try:
            with contextlib.suppress(*LOST), _quiet():
                self._logged_in().abort_job(job)
        except AuthorizationError:
            return False
        return True

    def command(
        self, job: str, data: Command, seconds: float = QUICK_SECONDS
    ) -> dict[str, Any]:
        """Send a command to a session and return its reply.

        Parameters
        ----------
        job
            Of the session.
        data
            The command.
        seconds
            After which the session counts as gone.

        Raises
        ------
        WireError
            What came back is no reply.
        LOST
            The session or the server is gone.
        """
        session = self._logged_in()
        # another thread may set its own in between: then a command is sent once more
        session.set_timeout(seconds)
        reply = session.do_app_command(job, TOPIC, data)
        if not isinstance(reply, dict):
            message = "The coordinator's reply is not one."
            raise WireError(message)
        return reply

    def unreachable(self, error: Exception) -> FednbError:
        """Return the error that says that the server does not answer."""
        config = self._kit.config
        message = (
            f"The server of {config.project!r} does not answer at "
            f"{config.host}:{config.port}. Is it running?"
        )
        return FednbError(message, detail=repr(error))

    def _logged_in(self) -> Session:
        if self._session is None:
            message = "The connection was closed; connect again."
            raise FednbError(message)
        return self._session


def knock(kit: Kit) -> None:
    """Shake hands with a kit's server, which tells at once what FLARE tells late.

    Raises
    ------
    OSError
        Nothing listens there.
    ssl.SSLError
        The server's certificate, or the kit's own, is not of the kit's federation.
    """
    config = kit.config
    try:
        kit.certificate().verify_directly_issued_by(read_root(kit.startup))
    except (InvalidSignature, TypeError, ValueError) as error:
        # in TLS 1.3 the server's refusal would come after the handshake
        message = "The kit's certificate was not issued under its root."
        raise ssl.SSLError(message) from error
    context = ssl.create_default_context(cafile=kit.startup / "rootCA.pem")
    context.load_cert_chain(kit.startup / "client.crt", kit.startup / "client.key")
    address = (config.host, config.port)
    with (
        socket.create_connection(address, timeout=CONNECT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=config.host),
    ):
        return


def write_job(folder: Path, executor: str = EXECUTOR) -> None:
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
        "executors": [{"tasks": ["fednb"], "executor": {"path": executor, "args": {}}}],
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

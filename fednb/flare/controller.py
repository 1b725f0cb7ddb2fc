"""What FLARE runs at the server: the coordinator's service, for as long as the job."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nvflare.apis.impl.controller import Controller
from typing_extensions import override

from fednb.coordinator.service import Service
from fednb.coordinator.store import Store
from fednb.errors import FednbError, WireError
from fednb.flare.envelope import TOPIC, Answering
from fednb.flare.kit import home_of, read_config
from fednb.flare.transport import FlareTransport
from fednb.records.messages import Ping
from fednb.records.service import Control, RunLine
from fednb.site.worker_process import WorkerProcess
from fednb.wire.codec import decode_service_reply, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from nvflare.apis.client import Client
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.apis.signal import Signal

    from fednb.coordinator.store import StoredRun
    from fednb.records.service import Prepare

WORD: Final = "interrupted.json"
"""File in the coordinator's home: runs that ended with their session."""

READY_SECONDS: Final = 30.0
"""How long a new session waits for its sites before it goes on without some."""

_POLL_SECONDS: Final = 0.2
_PING_SECONDS: Final = 1.0  # what is sent before a site's worker is there gets lost
_log = logging.getLogger(__name__)


class FednbController(Controller):
    """Serves notebooks by app commands, and drives runs, which outlive notebooks.

    What it keeps is in the coordinator's home, which the server's own kit names: a
    later job on the same home goes on where this one ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self._session: Session | None = None

    @override
    def start_controller(self, fl_ctx: FLContext) -> None:
        """Open the coordinator's home and listen to notebooks."""
        engine = fl_ctx.get_engine()
        local = Path(engine.get_workspace().get_site_config_dir())
        config = read_config(local)
        transport = FlareTransport(engine, config.sites)
        self._session = Session(home_of(local, config), transport)
        engine.register_app_command(TOPIC, self._command)

    @override
    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Wait until the job is stopped; threads and commands do the work."""
        session = self._session
        if session is None:
            return
        session.begin()
        while not abort_signal.triggered and not session.ended.wait(_POLL_SECONDS):
            continue
        session.close()

    @override
    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Let go of the coordinator's home."""
        if self._session is not None:
            self._session.close()

    @override
    def process_result_of_unknown_task(
        self,
        client: Client,
        task_name: str,
        client_task_id: str,
        result: Shareable,
        fl_ctx: FLContext,
    ) -> None:
        """Ignore it: there are no tasks."""

    def _command(
        self, topic: str, data: dict[str, Any], fl_ctx: FLContext
    ) -> dict[str, Any]:
        del topic, fl_ctx
        if self._session is None:
            return {"ended": True}
        return self._session.command(data)


class Session:
    """The coordinator's service within one job.

    Parameters
    ----------
    home
        Of the coordinator.
    transport
        To the sites of the job.
    """

    def __init__(self, home: Path, transport: FlareTransport) -> None:
        self.ended = threading.Event()
        self._ready = threading.Event()
        self._closing = threading.Lock()
        self._transport = transport
        self._worker = WorkerProcess()
        self._store = Store(home)
        # a session before this one may still be ending: never two on one home
        self._store.lock()
        self._service = Service(self._store, transport, self._initialise)
        self._answering = Answering(self._service.call)

    def begin(self) -> None:
        """Wait for the sites, then go on with the runs that a lost session left."""
        threading.Thread(target=self._begin, name="fednb-begin", daemon=True).start()

    def command(self, data: dict[str, Any]) -> dict[str, Any]:
        """Answer a notebook's command: a part of a message, or a greeting."""
        if data.get("hello"):
            return self._greeting()
        try:
            reply = self._answering.command(data)
        except WireError as error:
            reply = {"fault": str(error)}
        # what a service says while it ends is not how things stand
        return {"ended": True} if self.ended.is_set() else reply

    def close(self) -> None:
        """End the runs' threads and let go of the home; may be called twice."""
        with self._closing:
            if self.ended.is_set():
                return
            self._leave_word()
            self.ended.set()
            self._worker.shut()
            self._service.close()
            self._worker.close()

    def _greeting(self) -> dict[str, Any]:
        runs = self._store.runs()
        return {
            "ready": self._ready.is_set(),
            "ended": self.ended.is_set(),
            "missing": list(self._transport.missing()),
            "busy": any(run.status in {"running", "stopping"} for run in runs),
        }

    def _begin(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        waiting = set(self._transport.sites()) - set(self._transport.missing())
        with ThreadPoolExecutor(max(len(waiting), 1)) as threads:
            while waiting and time.monotonic() < deadline and not self.ended.is_set():
                there = threads.map(self._answers, sorted(waiting))
                waiting = {
                    s for s, t in zip(sorted(waiting), there, strict=True) if not t
                }
                self.ended.wait(_POLL_SECONDS if waiting else 0)
        left = self._left_word()
        for run in self._store.runs():
            if was_lost(run) or run.run in left:
                self._go_on(run)
        (self._store.path / WORD).unlink(missing_ok=True)
        self._ready.set()

    def _leave_word(self) -> None:
        """Note which runs end with this session: a scientist paused none of them."""
        going = [run.run for run in self._store.runs() if was_lost(run)]
        if not going:
            return
        self._store.write_file(".", WORD, msgspec.json.encode(going))

    def _left_word(self) -> tuple[str, ...]:
        path = self._store.path / WORD
        try:
            return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.DecodeError):
            return ()

    def _answers(self, site: str) -> bool:
        try:
            self._transport.call(site, encode(Ping()), timeout=_PING_SECONDS)
        except FednbError:
            return False
        return True

    def _go_on(self, run: StoredRun) -> None:
        ask = Control(run.run, "stop" if run.status == "stopping" else "resume")
        reply = decode_service_reply(self._service.call(encode(ask)))
        if not isinstance(reply, RunLine):
            _log.warning("Run %s could not go on: %s", run.run, reply)

    def _initialise(self, ask: Prepare) -> NDArray[np.float32]:
        # imported here: it brings the site's half, which most sessions do not need
        from fednb.site.server import initial_weights

        return initial_weights(
            self._worker,
            ask.network,
            channels=ask.channels,
            covariates=ask.covariates,
            seed=ask.seed,
        )


def was_lost(run: StoredRun) -> bool:
    """Whether a run stands still because its session ended, not by anybody's will."""
    if run.status in {"created", "running", "stopping"}:
        return True
    down = run.fault is not None and run.fault.error == "SiteDownError"
    return run.status == "paused" and down

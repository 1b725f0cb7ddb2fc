"""Runs: driven in a thread of the service, re-attached, paused, resumed, stopped."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from fednb.coordinator.rounds import Rounds
from fednb.coordinator.store import is_final, packed_totals
from fednb.errors import (
    FednbError,
    RefusedError,
    RunError,
    RunStoppedError,
    SiteDownError,
)
from fednb.records.contracts import Contract
from fednb.records.messages import StopRun
from fednb.records.service import (
    Event,
    Events,
    Fault,
    Outcome,
    RunLine,
    RunStatus,
    SiteLine,
    StepOutcome,
)
from fednb.records.specs import SummedPlan
from fednb.records.tasks import TrainingPlan

if TYPE_CHECKING:
    from fednb.coordinator.pooling import Pool
    from fednb.coordinator.site_link import SiteLink
    from fednb.coordinator.store import Store, StoredRun

_PAUSE_POLL_SECONDS = 0.1
_GATHER_SECONDS = 0.05
_MOST_RUNS = 256
"""Runs that go on at one time; further ones wait for a thread."""
_PASSING = ("storage", "busy")
"""Causes that a site owner can remove: the run waits to be resumed."""


class _Drive:
    """A thread that drives a run, and what is asked of it from outside.

    Attributes
    ----------
    stopping
        Set: calls in progress are cut short.
    pausing
        Whether the thread is to end once the round in progress has ended.
    left
        Whether it ended, or is about to, because of that.
    future
        Of the thread.
    """

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.pausing = False
        self.left = False
        self.future: Future[None] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the thread still begins rounds."""
        return not (self.left or self.future is None or self.future.done())


class Runs:
    """All runs of a coordinator.

    Parameters
    ----------
    store, pool
        Of the coordinator.
    """

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool
        self._threads = ThreadPoolExecutor(_MOST_RUNS, thread_name_prefix="fednb-run")
        self._drives: dict[str, _Drive] = {}
        # who pauses, resumes or ends a run sees it as the others left it
        self._turn = threading.RLock()
        self._changed = threading.Condition()
        self._closing = False

    def give_up(self) -> None:
        """Begin no round any more; a later service resumes the runs."""
        self._closing = True
        for drive in tuple(self._drives.values()):
            drive.stopping.set()

    def close(self) -> None:
        """Wait for the rounds in progress; cut them short before, by `give_up`."""
        self._threads.shutdown(wait=True)

    def start(self, run: str, body: bytes, signature: bytes) -> RunLine:
        """Start the run of a contract, or attach to the one there is.

        Raises
        ------
        RunError
            The contract has another run already.
        """
        contract = msgspec.json.decode(body, type=Contract)
        known = self._store.run_of(contract.hash())
        if known is not None and known.run != run:
            message = f"The contract was run already, as {known.run}; request it anew."
            raise RunError(message, cause="replayed")
        if known is None:
            self._store.create_run(run, contract.hash(), body, signature)
            self._drive(run, "started")
        return self.line(run)

    def control(self, run: str, verb: str) -> RunLine:
        """Pause, resume or stop a run; one that has completed needs no pause.

        Raises
        ------
        RunError
            The run has failed or was stopped.
        """
        stored = self._store.find_run(run)
        if verb == "stop" and not is_final(stored.status):
            self._stop(stored)
            return self.line(run)
        with self._turn:
            status = self._status(self._store.find_run(run))
            if status == "completed" and verb != "stop":
                # its last round ended before the word was heard: nothing is lost
                return self.line(run)
            if is_final(status):
                message = f"Run {run} has {status}; it cannot {verb}."
                raise RunError(message, cause="stopped")
            if verb == "pause":
                self._pause(run)
            else:
                self._resume(run)
        return self.line(run)

    def line(self, run: str) -> RunLine:
        """Return how a run stands."""
        stored = self._store.find_run(run)
        contract = msgspec.json.decode(stored.body, type=Contract)
        plan = contract.steps[stored.step]
        rounds = 1
        if isinstance(plan, TrainingPlan):
            rounds = plan.rounds * plan.calls
        elif isinstance(plan, SummedPlan):
            rounds = plan.most_rounds()
        sites = tuple(
            SiteLine(name, "seen" if proxy.seen else "never", proxy.seen)
            for name, proxy in sorted(self._pool.sites.items())
            if name in contract.sites()
        )
        return RunLine(
            run=run,
            contract=stored.contract,
            status=self._status(stored),
            step=stored.step,
            round=len(self._store.rounds(run, stored.step)),
            rounds=rounds,
            sites=sites,
            fault=stored.fault,
            created=stored.created,
            updated=stored.updated,
        )

    def events(self, run: str, since: int, wait: float) -> Events:
        """Return the events after a number, waiting a while for the first."""
        deadline = time.monotonic() + wait
        with self._changed:
            found = self._store.events(run, since)
            while not found and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, _PAUSE_POLL_SECONDS))
                found = self._store.events(run, since)
        drive = self._drives.get(run)
        if wait > 0 and found and drive and drive.goes_on and drive.future:
            # rounds of milliseconds come as one answer: watching must not slow them
            futures.wait([drive.future], timeout=_GATHER_SECONDS)
            found = self._store.events(run, since)
        return Events(found)

    def outcome(self, run: str) -> Outcome:
        """Return what a run brought.

        Raises
        ------
        RunError
            It has not completed; the message says how it stands.
        """
        stored = self._store.find_run(run)
        if stored.status != "completed":
            why = f": {stored.fault.revived()}" if stored.fault else ""
            message = f"Run {run} is {stored.status}{why}; it has no result."
            raise RunError(message)
        contract = msgspec.json.decode(stored.body, type=Contract)
        steps = tuple(
            StepOutcome(
                step=step,
                totals=packed_totals(self._store.totals(run, step)),
                rounds=self._store.rounds(run, step),
                weights=self._store.artefact(run, step),
                releases=self._store.releases(run, step),
            )
            for step in range(len(contract.steps))
        )
        return Outcome(run, stored.contract, steps)

    def _status(self, stored: StoredRun) -> RunStatus:
        """Return how a run stands: a service that ended took its threads with it."""
        if stored.run not in self._drives:
            if stored.status == "running":
                return "paused"
            if stored.status == "stopping":
                return "stopped"
        return stored.status

    def _drive(self, run: str, kind: str) -> None:
        drive = _Drive()
        with self._turn:
            self._drives[run] = drive
            self._set(run, "running", kind)
            drive.future = self._threads.submit(self._steps, run, drive)
        drive.future.add_done_callback(lambda done: self._ended(run, drive, done))

    def _steps(self, run: str, drive: _Drive) -> None:
        stored = self._store.find_run(run)
        contract = msgspec.json.decode(stored.body, type=Contract)
        rounds = Rounds(
            run,
            contract,
            self._store,
            self._pool,
            going_on=lambda: not drive.stopping.is_set(),
            take_turn=lambda: self._take_turn(drive),
            attempt=self._store.next_attempt(run),
            name=stored.contract,
        )
        for step in range(stored.step, len(contract.steps)):
            with self._turn:
                self._take_turn(drive)
                self._set(run, "running", "step", step=step)
            rounds.step(step)

    def _take_turn(self, drive: _Drive) -> None:
        """Go on to the next round, or leave the thread: checkpoints keep the rest."""
        self._notify()
        with self._turn:
            if drive.stopping.is_set():
                message = "The run was stopped."
                raise RunStoppedError(message)
            if drive.pausing:
                drive.left = True
                message = "The run was paused."
                raise RunStoppedError(message)

    def _ended(self, run: str, drive: _Drive, done: Future[None]) -> None:
        """Record how a run's thread ended; every failure names a site and a cause."""
        error = done.exception()
        with self._turn:
            status = self._store.find_run(run).status
            if is_final(status) or (drive.left and status != "stopping"):
                # a pause is on record since it was asked for; it may be over by now
                return
            if error is None:
                self._set(run, "completed", "completed")
            elif status == "stopping":
                self._set(run, "stopped", "stopped")
            elif self._closing:
                # nothing is wrong with the run: it waits for the next service
                self._set(run, "paused", "paused")
            elif isinstance(error, SiteDownError) or (
                isinstance(error, RefusedError) and error.cause in _PASSING
            ):
                self._set(run, "paused", "paused", fault=fault_of(error))
            else:
                self._set(run, "failed", "failed", fault=fault_of(error))

    def _stop(self, stored: StoredRun) -> None:
        self._set(stored.run, "stopping", "stopping")
        drive = self._drives.get(stored.run)
        if drive is not None:
            drive.stopping.set()
        ask = StopRun(stored.run)
        self._pool.each(self._sites(stored.run), lambda site: _tell(site, ask))
        with self._turn:
            ended = drive is None or not drive.goes_on
            if ended and not is_final(self._store.find_run(stored.run).status):
                self._set(stored.run, "stopped", "stopped")

    def _pause(self, run: str) -> None:
        if run in self._drives:
            self._drives[run].pausing = True
        self._record(run, "paused", "by the scientist; the round in progress ends")

    def _resume(self, run: str) -> None:
        drive = self._drives.get(run)
        if drive is None or not drive.goes_on:
            self._drive(run, "resumed")
            return
        drive.pausing = False
        self._record(run, "resumed", "by the scientist")

    def _sites(self, run: str) -> tuple[str, ...]:
        body = self._store.find_run(run).body
        return msgspec.json.decode(body, type=Contract).sites()

    def _set(
        self,
        run: str,
        status: RunStatus,
        kind: str,
        *,
        step: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        text = str(fault.revived()) if fault else ""
        event = Event(0, time.time(), kind, step or 0, 0, text)
        self._store.set_status(run, status, event=event, step=step, fault=fault)
        self._notify()

    def _record(self, run: str, kind: str, text: str) -> None:
        status: RunStatus = "paused" if kind == "paused" else "running"
        event = Event(0, time.time(), kind, 0, 0, text)
        self._store.set_status(run, status, event=event)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _tell(site: SiteLink, ask: StopRun) -> None:
    """Tell a site to stop; one that is away does nothing for the run anyway."""
    with suppress(SiteDownError):
        site.ask(ask)


def fault_of(error: BaseException) -> Fault:
    """Return what a run that failed tells of its error."""
    if not isinstance(error, FednbError):
        # nobody foresaw it: its words may hold anything
        error = FednbError(f"The coordinator failed: {type(error).__name__}.")
    return Fault.of(error)

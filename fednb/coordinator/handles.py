"""Requests and runs as a scientist holds them; each shows itself."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from fednb.coordinator.outcomes import Reading
from fednb.display import html, text
from fednb.display.contract import contract_html, contract_text
from fednb.display.hooks import Shown
from fednb.display.progress import RunProgress, Waiting
from fednb.errors import (
    FednbError,
    PlanError,
    RefusedError,
    RunError,
    RunStoppedError,
)
from fednb.records.base import canonical
from fednb.records.service import (
    FINAL,
    AskEvents,
    AskOutcome,
    AskRun,
    Control,
    Event,
    Events,
    Outcome,
    RunLine,
    StartRun,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fednb.coordinator.client import Client
    from fednb.coordinator.datasite import DatasiteProxy
    from fednb.display.html import Html
    from fednb.records.contracts import Contract, OutputSpec
    from fednb.records.messages import Standing
    from fednb.results.rehearsal import Rehearsal

_WAIT_SECONDS = 0.5
_RESTING = frozenset({*FINAL, "paused"})
_AGAINST = ("denied", "revoked", "expired", "unknown")


@dataclass(frozen=True, repr=False)
class Preview(Shown):
    """A contract as a site owner will see it.

    Attributes
    ----------
    contract
        What was, or would be, requested.
    status
        Where it stands.
    rehearsal
        What a dry run on the mock showed; None: there was none.
    """

    contract: Contract
    status: str = "asked"
    rehearsal: Rehearsal | None = None

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Everything that may leave a site: name, kind, size, how often, and rule."""
        return self.contract.outputs

    def _text(self) -> str:
        page = contract_text(self.contract, self.status)
        return page if self.rehearsal is None else f"{page}\n\n{self.rehearsal!r}"

    def _html(self) -> Html:
        page = contract_html(self.contract, self.status)
        if self.rehearsal is None:
            return page
        return html.element("div", page, self.rehearsal._html())  # noqa: SLF001


@dataclass(frozen=True, repr=False)
class Request(Shown):
    """A contract handed in at every participant.

    Attributes
    ----------
    contract
        What was requested.
    signature
        The scientist's.
    """

    contract: Contract
    signature: bytes
    _client: Client = field(compare=False)
    _sites: Mapping[str, DatasiteProxy] = field(compare=False)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the contract: what owners approve."""
        return self.contract.hash()

    @property
    def status(self) -> dict[str, Standing]:
        """Where the contract stands at each participant, asked now."""
        contract = self.hash
        return {n: self._sites[n].status(contract) for n in self.contract.sites()}

    def preview(self, *, dry_run: bool = False) -> Preview:
        """Return the contract as its owners see it, with all that may leave.

        Parameters
        ----------
        dry_run
            Also run it on the first participant's mock: samples of what leaves, and a
            card of what a run would cost a site, which is a prediction.

        Raises
        ------
        InputError
            There is no engine here to run it on the mock.
        PlanError
            A step builds on the result of another contract: no dry run of it.
        """
        if not dry_run:
            return Preview(self.contract)
        first = self._sites[self.contract.sites()[0]]
        mock = first.datasets[self.contract.dataset].mock
        return Preview(self.contract, rehearsal=mock.rehearse(self.contract))

    def wait(self, timeout: float | None = None) -> Request:
        """Wait until every owner has decided, and show whose decision is missing.

        Parameters
        ----------
        timeout
            Seconds; None: without end.

        Raises
        ------
        RunError
            An owner denied, or the time is over; names the sites.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with Waiting(self.hash) as shown:
            while waiting := undecided(self.status):
                if time.monotonic() >= deadline:
                    names = ", ".join(waiting)
                    message = f"Still waiting for {names} after {timeout} s."
                    raise RunError(message, site=waiting[0], cause="not-approved")
                time.sleep(_WAIT_SECONDS)
                shown.say(waiting)
        return self

    def start(self, *, dry_run: bool = False) -> Run:
        """Start the run.

        Parameters
        ----------
        dry_run
            Mark the result as one of mock data.

        Raises
        ------
        PlanError
            It is a standing contract, which answers questions and has no run.
        RunError
            Not every owner has approved, or the contract was run already.
        """
        if self.contract.standing:
            name = self.contract.dataset
            message = (
                "A standing contract has no run: ask "
                f"fed.statistics({name!r}, columns) or fed.describe({name!r})."
            )
            raise PlanError(message)
        status = self.status
        waiting = undecided(status)
        if waiting:
            message = (
                f"Not approved yet: {_standing(status, waiting)}. Wait with "
                ".wait(), or ask the site owners."
            )
            raise RunError(message, site=waiting[0], cause="not-approved")
        run = secrets.token_hex(8)
        ask = StartRun(run, canonical(self.contract), self.signature)
        line = self._client.ask(ask, RunLine)
        return Run(run, self.contract, self._client, dry_run, [line])

    def _text(self) -> str:
        return contract_text(self.contract)

    def _html(self) -> Html:
        return contract_html(self.contract)


def undecided(status: Mapping[str, str]) -> list[str]:
    """Return the sites whose owners have not decided on a contract, sorted.

    Parameters
    ----------
    status
        Where it stands, by site.

    Raises
    ------
    RunError
        A decision is final and against it: waiting would not help.
    """
    against = sorted(n for n, s in status.items() if s in _AGAINST)
    if against:
        message = (
            f"Not approved: {_standing(status, against)}. That is final; ask the owner "
            "why, change the plan, and request it anew."
        )
        raise RunError(message, site=against[0], cause="denied")
    return sorted(n for n, s in status.items() if s != "approved")


def _standing(status: Mapping[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} ({status[name]})" for name in names)


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A run, driven by the coordinator's service; this is a handle to it.

    Attributes
    ----------
    id
        Names the run; ``fed.run(id)`` attaches to it again.
    contract
        Under which it runs.
    dry_run
        Whether it runs on mock data.
    """

    id: str
    contract: Contract
    _client: Client = field(compare=False)
    dry_run: bool = False
    _seen: list[RunLine] = field(default_factory=list, compare=False)

    @property
    def line(self) -> RunLine:
        """How the run stands, asked now."""
        line = self._client.ask(AskRun(self.id), RunLine)
        self._seen[:] = [line]
        return line

    @property
    def status(self) -> str:
        """``"running"``, ``"paused"``, ``"completed"``, ``"failed"``, ..."""
        return self.line.status

    def events(self, since: int = 0, wait: float = 0.0) -> tuple[Event, ...]:
        """Return what happened after event number `since`.

        Parameters
        ----------
        since
            Number of the last event that is known.
        wait
            Seconds to wait where there is none yet.
        """
        return self._client.ask(AskEvents(self.id, since, wait), Events).events

    def follow(self) -> Iterator[Event]:
        """Yield events as they happen, until the run ends or pauses."""
        for found in self._looks():
            yield from found

    def _looks(self) -> Iterator[tuple[Event, ...]]:
        """Yield what is new, often nothing, until the run ends or pauses."""
        since = 0
        while True:
            found = self.events(since, wait=_WAIT_SECONDS)
            yield found
            if found:
                since = found[-1].seq
            ended = not found or found[-1].kind in _RESTING
            if ended and self.status in _RESTING:
                return

    def pause(self) -> Run:
        """Let the round in progress end, and begin no other."""
        return self._control("pause")

    def resume(self) -> Run:
        """Go on, from the newest checkpoint."""
        return self._control("resume")

    def stop(self) -> Run:
        """Stop for good; what sites are doing for it is dead within two seconds."""
        return self._control("stop")

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> Run:
        """Wait until the run has ended or paused.

        Parameters
        ----------
        timeout
            Seconds; None: without end.
        progress
            Show rounds as they finish, in a terminal or a notebook.

        Raises
        ------
        RunError
            The time is over.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with RunProgress(self.contract, shown=progress) as shown:
            for found in self._looks():
                for event in found:
                    shown.add(event)
                late = time.monotonic() >= deadline
                if late and (status := self.status) not in _RESTING:
                    message = f"Run {self.id} is {status} after {timeout} s."
                    raise RunError(message)
        return self

    def results(self, *, progress: bool = False) -> tuple[Any, ...]:
        """Wait for the end and return one result a step.

        Raises
        ------
        FednbError
            The run failed, paused or was stopped; names the site and the cause.
        """
        self.wait(progress=progress)
        line = self.line
        if line.status != "completed":
            raise _error_of(self.id, line)
        outcome = self._client.ask(AskOutcome(self.id), Outcome)
        load = self._client.weights
        return Reading(outcome, self.contract, load, self.dry_run).results()

    def result(self, *, progress: bool = False) -> Any:  # noqa: ANN401
        """Wait for the end and return the result; of a study, that of its last step."""
        return self.results(progress=progress)[-1]

    def _control(self, verb: Literal["pause", "resume", "stop"]) -> Run:
        self._seen[:] = [self._client.ask(Control(self.id, verb), RunLine)]
        return self

    def _facts(self) -> list[tuple[str, object]]:
        # as it was last seen: showing a run asks nobody
        if not self._seen:
            return [("Run", self.id), ("Status", "not asked yet")]
        (line,) = self._seen
        sites = ", ".join(
            f"{s.site} ({text.human_seconds(max(time.time() - s.seen, 0))} ago)"
            if s.seen
            else f"{s.site} (never heard)"
            for s in line.sites
        )
        return [
            ("Run", self.id),
            ("Status", f"{line.status}, at {text.utc(int(line.updated))}"),
            ("Step", f"{line.step + 1} of {len(self.contract.steps)}"),
            ("Round", f"{line.round} of at most {line.rounds}"),
            ("Sites", sites),
            ("Fault", line.fault.revived() if line.fault else "none"),
        ]

    def _text(self) -> str:
        return text.fields(self._facts())

    def _html(self) -> Html:
        return html.definition_list(self._facts())


def _error_of(run: str, line: RunLine) -> FednbError:
    """Return the error that says why a run has no result."""
    if line.status == "stopped":
        message = f"Run {run} was stopped; request it anew to start over."
        return RunStoppedError(message, cause="stopped")
    if line.fault is None:
        message = f"Run {run} is {line.status}; resume it to go on."
        return RunError(message)
    error = line.fault.revived()
    if isinstance(error, RefusedError) or line.status == "failed":
        return error
    message = f"Run {run} is {line.status}: {error} Resume it to go on."
    return RunError(message, site=error.site, cause=error.cause)

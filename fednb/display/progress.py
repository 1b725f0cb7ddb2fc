"""Progress of a run: a bar a step, in a terminal or a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from fednb.display.text import number, visible
from fednb.records.tasks import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.contracts import Contract
    from fednb.records.service import Event


_BAR: Final = 20
"""Characters of a bar, which leaves room for figures beside it."""


class Waiting:
    """Says for whom a request waits, in a terminal or a notebook; a context manager.

    Nothing is shown before `say`, and nothing is left behind: people decide in their
    own time, and whoever waits for them should know that nothing hangs.

    Parameters
    ----------
    request
        Hash of the request.
    """

    def __init__(self, request: str) -> None:
        self._request = request[:12]
        self._status = Console().status("")
        self._said: tuple[str, ...] = ()

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._said:
            self._status.stop()

    def words(self, sites: Sequence[str]) -> str:
        """Return what is shown while the owners of `sites` decide."""
        names = ", ".join(visible(site) for site in sites)
        return (
            f"Request {self._request} waits for the owners of {names} to approve it; "
            "interrupt to stop waiting, the request stays."
        )

    def say(self, sites: Sequence[str]) -> None:
        """Show whose decision is missing."""
        if tuple(sites) == self._said:
            return
        self._status.update(escape(self.words(sites)))
        if not self._said:
            self._status.start()
        self._said = tuple(sites)


class RunProgress:
    """Shows rounds as they finish; a context manager.

    Parameters
    ----------
    contract
        Of the run.
    shown
        Whether anything is shown.
    """

    def __init__(self, contract: Contract, *, shown: bool = True) -> None:
        self._contract = contract
        self._bars: dict[int, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            disable=not shown,
        )

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def add(self, event: Event) -> None:
        """Show an event."""
        if event.kind == "step":
            self._fill()
            self._bar(event.step)
        elif event.kind == "round":
            figures = "  ".join(
                f"{visible(name).replace('_', ' ')} {number(value)}"
                for name, value in event.metrics.items()
            )
            bar = self._bar(event.step)
            # the half of a round that sums hazards has no figures of its own
            self._progress.update(bar, advance=1)
            if figures:
                self._progress.update(bar, figures=figures)
        elif event.kind in {"completed", "failed", "stopped"}:
            if event.kind == "completed":
                self._fill()
            for bar in self._bars.values():
                self._progress.stop_task(bar)

    def _fill(self) -> None:
        """Fill the bars of steps that are over: how long a fit is shows at its end."""
        for task in self._progress.tasks:
            if task.total is None:
                self._progress.update(task.id, total=task.completed)

    def _bar(self, step: int) -> TaskID:
        if step not in self._bars:
            plan = self._contract.steps[step]
            total = None
            if isinstance(plan, TrainingPlan):
                total = plan.rounds * plan.calls
            name = type(plan).__name__.removesuffix("Plan").lower()
            self._bars[step] = self._progress.add_task(name, total=total, figures="")
        return self._bars[step]

"""What a bench returns: frozen rows and targets, shown as a table or as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType


@dataclass(frozen=True)
class Machine:
    """Where figures were measured.

    Attributes
    ----------
    cores
        Processors that this process may use.
    load
        Load average of the bench's last minute: above 2 or so, others were at work, and
        wall times are theirs as much as ours.
    threads
        ``OMP_NUM_THREADS``, or ``"default"``.
    python, torch, numpy
        Versions.
    """

    cores: int
    load: float
    threads: str
    python: str
    torch: str
    numpy: str

    @classmethod
    def here(cls) -> Machine:
        """Return this machine; imports no torch."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            load=round(os.getloadavg()[0], 2),
            threads=os.environ.get("OMP_NUM_THREADS", "default"),
            python=platform.python_version(),
            torch=version("torch"),
            numpy=version("numpy"),
        )

    def line(self) -> str:
        """Return the machine in one line."""
        return (
            f"{self.cores} cores, load {self.load:g} at the end, threads "
            f"{self.threads}, Python {self.python}, torch {self.torch}, numpy "
            f"{self.numpy}"
        )


@dataclass(frozen=True)
class Target:
    """A figure beside the most that it may be.

    Attributes
    ----------
    name
        What was measured.
    value, limit
        In `unit`; the target is met where ``value <= limit``.
    verdict
        ``"ok"`` or ``"over"``.
    """

    name: str
    value: float
    limit: float
    unit: str
    verdict: str = ""

    def __post_init__(self) -> None:
        """Settle the verdict."""
        verdict = "ok" if self.value <= self.limit else "over"
        object.__setattr__(self, "verdict", verdict)

    def text(self) -> str:
        """Return limit and verdict, as a cell of a table."""
        unit = f" {self.unit}" if self.unit else ""
        return f"<= {self.limit:g}{unit}: {self.verdict}"


@dataclass(frozen=True)
class Report:
    """What a bench found.

    Attributes
    ----------
    bench
        Its name.
    rows
        Frozen dataclasses of one kind; a field `target` may hold a `Target` or None.
    notes
        What a reader must know beside the figures.
    machine
        Where it was measured.
    """

    bench: str
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()
    machine: Machine = field(default_factory=Machine.here)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets of the rows."""
        found = (getattr(row, "target", None) for row in self.rows)
        return tuple(target for target in found if target is not None)

    def to_json(self) -> bytes:
        """Return bench, machine, rows, targets and notes as indented JSON."""
        body = {
            "bench": self.bench,
            "machine": self.machine,
            "rows": self.rows,
            "targets": self.targets,
            "notes": self.notes,
        }
        return msgspec.json.format(msgspec.json.encode(body), indent=2)

    def table(self) -> RenderableType:
        """Return the rows as a table between the machine and the notes."""
        names = [f.name for f in fields(self.rows[0])]
        title = f"fednb bench {self.bench}"
        table = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1))
        cells = [[cell(getattr(row, name)) for name in names] for row in self.rows]
        titles = [name.replace("_", " ") for name in names]
        if len(cells) == 1:
            # a lone row of many figures reads better downwards
            cells, titles = list(zip(titles, cells[0], strict=True)), ["", ""]  # type: ignore[arg-type]
        for heading in titles:
            table.add_column(heading, overflow="fold")
        for line in cells:
            table.add_row(*line)
        lines = [Text(self.machine.line(), style="dim")]
        notes = [Text(note, style="dim") for note in self.notes]
        return Group(table, *lines, *notes)


def cell(value: object) -> str:
    """Return a value as a cell of a table: short, and nothing for None."""
    if isinstance(value, Target):
        return value.text()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def median(values: Sequence[float]) -> float:
    """Return the median of measurements."""
    return float(statistics.median(values))


def upper(values: Sequence[float]) -> float:
    """Return the 90th percentile of measurements: the tail that a user feels."""
    if len(values) < 2:
        return float(values[0])
    return float(statistics.quantiles(values, n=10, method="inclusive")[-1])

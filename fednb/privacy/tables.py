"""How statistics become a vector that sites can sum: the layout, in one place.

Each cell is made of values that may leave by themselves, so that a pooled result is a
sum of safe parts, with or without a secure sum around it:

* a number: ``[n, n z, n (v + z^2), counts on the owner's grid ..., suppressed]``, with
  n the rounded count, z the safe mean and v the safe variance in units of the declared
  range, ``(x - lower) / (upper - lower)``, so that no element exceeds n by much;
* a category or binary: ``[rounded count per level ..., suppressed per level ...]``;
* a description: `DescribeLayout`.

A merged histogram bin is spread evenly over the grid cells that it covers, so that bins
of different sites add up; the pooled histogram is thus smooth within a site's bins.
``suppressed`` is 1 where a site's cell may not leave, all else being 0 then; the sum
counts such sites.

With a column to group by, only the groups' cells are in the vector: a total beside them
would give a suppressed group back by subtraction (disclosure rule 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.privacy.histograms import Histogram
    from fednb.records.datasets import Column
    from fednb.records.tasks import DescribePlan, StatisticsPlan

    Floats = NDArray[np.float64]

MAX_GRID: Final = 1000
"""Cells of an owner's grid: more would be values rather than a histogram."""


def levels_of(column: Column) -> tuple[str, ...]:
    """Return the labels of a category, ``("0", "1")`` of a binary, none of a number."""
    if column.kind == "binary":
        return ("0", "1")
    return column.levels if column.kind == "category" else ()


@dataclass(frozen=True, eq=False)
class NumberCell:
    """A number in one group, at one site or summed over sites.

    Parameters
    ----------
    n
        Rounded number of patients.
    total, squares
        ``n z`` and ``n (v + z^2)``, in units of the declared range.
    grid
        Counts on the owner's grid, shape (cells,).
    suppressed
        Number of sites whose cell may not leave.
    """

    n: float
    total: float
    squares: float
    grid: Floats
    suppressed: float = 0.0

    @classmethod
    def of(
        cls, column: Column, n: int, moments: tuple[float, float], shape: Histogram
    ) -> NumberCell:
        """Return the cell of one site from values that may leave.

        Parameters
        ----------
        column
            Declares range and grid.
        n
            Rounded count.
        moments
            Safe mean and safe variance (divided by n), in the column's unit.
        shape
            Safe histogram.
        """
        span = column.upper - column.lower
        mean = (moments[0] - column.lower) / span
        square = moments[1] / span**2 + mean**2
        return cls(n, n * mean, n * square, shape.on_grid(column.grid()))


@dataclass(frozen=True, eq=False)
class LevelCell:
    """A category or binary in one group, at one site or summed over sites.

    Parameters
    ----------
    counts
        Rounded number of patients by level, shape (levels,).
    suppressed
        Number of sites whose count may not leave, by level, shape (levels,).
    """

    counts: Floats
    suppressed: Floats


Cell = NumberCell | LevelCell
Key = tuple[str, str]
"""Column name, and level of the column to group by; empty where there is none."""


@dataclass(frozen=True)
class StatisticsLayout:
    """Where each statistic lies in a site's vector.

    Parameters
    ----------
    columns
        Columns to summarise, as their owners declare them: at least one.
    by
        A category or binary column to group by, or none.
    levels
        Labels of `by`, in order; empty without it.
    bins
        Upper bound on the bins of the pooled histogram, as shown. A site's own bins do
        not depend on it.
    quantiles
        Probabilities to interpolate in the pooled histogram.

    Raises
    ------
    InputError
        Columns are doubled or of an impossible range, grid or set of levels.
    """

    columns: tuple[Column, ...]
    by: Column | None = None
    levels: tuple[str, ...] = ()
    bins: int = 20
    quantiles: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        """Refuse what cannot be laid out."""
        names = [column.name for column in self.columns]
        if not names or len(set(names)) < len(names):
            message = f"Statistics need one or more distinct columns; got {names}."
            raise InputError(message)
        for column in self.columns:
            _check_column(column)
        expected = levels_of(self.by) if self.by else ()
        if self.levels != expected or (self.by and not expected):
            message = (
                f"Groups must be the levels of a category or binary column; got "
                f"{self.levels} for {self.by.name if self.by else 'no column'}."
            )
            raise InputError(message)

    @classmethod
    def from_plan(
        cls, plan: StatisticsPlan, columns: Sequence[Column]
    ) -> StatisticsLayout:
        """Return the layout of a plan over the declared columns of a dataset.

        Raises
        ------
        UnknownNameError
            The plan names a column that is not declared.
        InputError
            See the class.
        """
        declared = {column.name: column for column in columns}
        for name in (*plan.columns, *((plan.by,) if plan.by else ())):
            if name not in declared:
                raise UnknownNameError("column", name, declared)
        by = declared[plan.by] if plan.by else None
        if by is not None and not levels_of(by):
            fit = ", ".join(c.name for c in columns if levels_of(c))
            message = (
                f"Groups are the levels of a category or binary column; {plan.by!r} is "
                f"a {by.kind}. There are: {fit or 'none'}."
            )
            raise InputError(message)
        return cls(
            tuple(declared[name] for name in plan.columns),
            by,
            levels_of(by) if by else (),
            plan.bins,
            plan.quantiles,
        )

    def groups(self) -> tuple[str, ...]:
        """Return the labels of the groups; one empty label without `by`."""
        return self.levels if self.by else ("",)

    def keys(self) -> tuple[Key, ...]:
        """Return the keys of all cells in the order of the vector."""
        return tuple((c.name, g) for c in self.columns for g in self.groups())

    @property
    def size(self) -> int:
        """Number of elements of a vector."""
        return len(self.groups()) * sum(_width(column) for column in self.columns)

    def suppressed(self, column: Column) -> Cell:
        """Return the cell of a site where it may not leave: the same for 0 and few."""
        if column.kind == "number":
            return NumberCell(0.0, 0.0, 0.0, np.zeros(len(column.grid()) - 1), 1.0)
        count = len(levels_of(column))
        return LevelCell(np.zeros(count), np.ones(count))

    def encode(self, cells: Mapping[Key, Cell]) -> Floats:
        """Return the cells as a vector, shape (size,), float64.

        Parameters
        ----------
        cells
            One for each of `keys`.
        """
        return np.concatenate([_flat(cells[key]) for key in self.keys()])

    def decode(self, total: Floats) -> dict[Key, Cell]:
        """Return a vector, or a sum of vectors, as cells.

        Raises
        ------
        InputError
            The vector does not have `size` elements.
        """
        if total.shape != (self.size,):
            message = f"A table of {self.size} elements is expected; got {total.shape}."
            raise InputError(message)
        cells: dict[Key, Cell] = {}
        start = 0
        for column in self.columns:
            for group in self.groups():
                stop = start + _width(column)
                cells[column.name, group] = _cell(column, total[start:stop])
                start = stop
        return cells


def _check_column(column: Column) -> None:
    """Refuse a column that has no cells or too many."""
    if column.kind == "number":
        fits = column.upper > column.lower and min(column.step, column.resolution) > 0
        if fits and (column.upper - column.lower) / column.step <= MAX_GRID:
            return
        message = (
            f"Column {column.name!r} needs lower < upper, a resolution > 0 and a step "
            f"that makes at most {MAX_GRID} cells; got {column.lower}, {column.upper}, "
            f"{column.resolution} and {column.step}."
        )
        raise InputError(message)
    levels = levels_of(column)
    if not levels or len(set(levels)) < len(levels):
        message = f"Column {column.name!r} needs distinct levels; got {levels}."
        raise InputError(message)


def _width(column: Column) -> int:
    """Return the number of elements of a column's cell."""
    if column.kind == "number":
        return len(column.grid()) + 3
    return 2 * len(levels_of(column))


def _flat(cell: Cell) -> Floats:
    if isinstance(cell, LevelCell):
        return np.concatenate((cell.counts, cell.suppressed))
    head = (cell.n, cell.total, cell.squares)
    return np.concatenate((head, cell.grid, (cell.suppressed,)))


def _cell(column: Column, part: Floats) -> Cell:
    if column.kind == "number":
        n, total, squares = part[:3].tolist()
        return NumberCell(n, total, squares, part[3:-1], float(part[-1]))
    count = part.size // 2
    return LevelCell(part[:count], part[count:])


@dataclass(frozen=True)
class DescribeLayout:
    """Where each count of a description lies in a site's vector.

    ``[rounded counts ..., suppressed ...]``, each of all patients first, then by
    column, then by modality; ``suppressed`` is 1 where a count is below the threshold.

    Parameters
    ----------
    columns
        Names of the columns whose non-missing values are counted.
    modalities
        Modalities whose patients are counted.
    """

    columns: tuple[str, ...]
    modalities: tuple[str, ...]

    @classmethod
    def from_plan(cls, plan: DescribePlan) -> DescribeLayout:
        """Return the layout of a plan.

        Raises
        ------
        InputError
            The plan leaves open what is counted: sites might count differently.
        """
        if plan.columns is None or plan.modalities is None:
            message = "A description must name its columns and its modalities."
            raise InputError(message)
        return cls(plan.columns, plan.modalities)

    @property
    def size(self) -> int:
        """Number of elements of a vector."""
        return 2 * (1 + len(self.columns) + len(self.modalities))

    def encode(self, counts: Sequence[int], *, exact: bool) -> Floats:
        """Return rounded counts as a vector, shape (size,), float64.

        Parameters
        ----------
        counts
            Patients in all, having a value by column, having a volume by modality.
        exact
            Whether 0 means none: the open profile suppresses nothing.
        """
        shown = np.array(counts, dtype=np.float64)
        return np.concatenate((shown, (shown == 0) & (not exact)))

    def decode(self, total: Floats) -> LevelCell:
        """Return a vector, or a sum of vectors, as counts and suppressed sites.

        Raises
        ------
        InputError
            The vector does not have `size` elements.
        """
        if total.shape != (self.size,):
            message = f"{self.size} elements are expected; got {total.shape}."
            raise InputError(message)
        counts, suppressed = np.split(np.rint(total), 2)
        return LevelCell(counts, suppressed)

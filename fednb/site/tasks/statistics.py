"""Statistics of table columns at one site: only values that may leave.

Every cell is a cohort of its own, and is answered through the book of earlier answers
(disclosure rules 5 and 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.errors import InputError
from fednb.privacy.cells import check_labels, safe_mean, safe_variance
from fednb.privacy.differencing import Book
from fednb.privacy.histograms import Histogram, safe_histogram
from fednb.privacy.margins import second_cells
from fednb.privacy.rounding import least_counts
from fednb.privacy.rules import PATIENTS, Safe
from fednb.privacy.tables import LevelCell, NumberCell, levels_of
from fednb.records.base import Record, canonical, sha256_hex
from fednb.site.tasks.table import codes, count_cell, numbers, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import Cell, Key, StatisticsLayout
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.table import Table

    Members = NDArray[np.bool_]
    Groups = Mapping[str, Members]


class NumberAnswer(Record, frozen=True):
    """What a cohort is answered about a number; see `fednb.privacy.tables`."""

    mean: float
    variance: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


def statistics(
    job: Job, profile: Profile, layout: StatisticsLayout, book: Book | None = None
) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
    """Return a site's vector of safe statistics, and the decisions behind it.

    Parameters
    ----------
    job
        Names the table and its declared columns.
    profile
        The stricter of the site's and the contract's.
    layout
        Columns and groups; its columns must be declared as the owner declares them.
    book
        Earlier answers; takes up those of this table. None: there are none.

    Returns
    -------
    vector
        Shape (layout.size,), float64: safe by itself, and ready to be summed.
    decisions
        Private to the site; each rule that was applied, in order.

    Raises
    ------
    InputError
        A column's bounds, grid or levels are not the owner's.
    DatasetError
        The table cannot be read.
    """
    _check_owner_grid(layout, job.manifest)
    table = table_of(job)
    patients = len(job.manifest.patients)
    reason = f"{patients} rows, each another patient"
    decisions = [PATIENTS.decide(reason, profile, allow=True)]
    book = book or Book.blank(profile, patients)
    work = _Tables(table, layout, profile, book, decisions)
    return layout.encode(work.cells(patients)), tuple(decisions)


def _check_owner_grid(layout: StatisticsLayout, manifest: Manifest) -> None:
    """Refuse a grid that is not the owner's: sliding bins would single patients out."""
    declared = {_shape(column) for column in manifest.columns}
    asked = (*layout.columns, *((layout.by,) if layout.by else ()))
    for column in asked:
        if _shape(column) not in declared:
            message = (
                f"Column {column.name!r} is not declared like this at the site; take "
                "kind, bounds, step, resolution and levels from its dataset card."
            )
            raise InputError(message)


def _shape(column: Column) -> Column:
    """Return a column without what is only there to be read."""
    return msgspec.structs.replace(column, description="", unit="")


@lru_cache(maxsize=256)
def _series(column: Column) -> str:
    """Return the name of a number as a statistic: the same wherever declared alike."""
    return f"number:{column.name}:{sha256_hex(canonical(_shape(column)))[:16]}"


@dataclass(frozen=True, eq=False)
class _Tables:
    """Works a layout out, cell by cell; takes down every decision."""

    table: Table
    layout: StatisticsLayout
    profile: Profile
    book: Book
    decisions: list[Decision]

    def cells(self, patients: int) -> dict[Key, Cell]:
        """Return the cell of each column and group."""
        groups = self._groups(np.ones(patients, dtype=np.bool_))
        found: dict[Key, Cell] = {}
        # the counts of numbers are totals against which levels are held: they go first
        for column in sorted(self.layout.columns, key=lambda c: c.kind != "number"):
            work = self._numbers if column.kind == "number" else self._levels
            by_group = work(column, groups)
            for group in self.layout.groups():
                cell = by_group.get(group)
                kept = self.layout.suppressed(column) if cell is None else cell
                found[column.name, group] = kept
        return found

    def _groups(self, everybody: Members) -> Groups:
        """Return the patients of each group that may be looked at, and no others."""
        by = self.layout.by
        if by is None:
            return {"": everybody}
        found = codes(self.table, by, self.layout.levels)
        shown = self._counts(by, found, {"": everybody})[0]
        if not self._labels_pass(by, shown):
            return {}
        return {
            level: found == index
            for index, level in enumerate(self.layout.levels)
            if shown[index] > 0
        }

    def _numbers(self, column: Column, groups: Groups) -> dict[str, Cell]:
        """Return the cells of a number that may leave, by group."""
        values = numbers(self.table, column)
        present = ~np.isnan(values)
        names = [self._name(f"{column.name}?", group) for group in groups]
        # groups that are not looked at are suppressed cells of the same row
        width = len(self.layout.groups())
        totals = self._totals([present], [], width)
        cells: dict[str, Cell] = {}
        shown = np.zeros((1, width), dtype=np.int64)
        for place, (group, members) in enumerate(groups.items()):
            cohort = members & present
            kept = values[cohort].clip(column.lower, column.upper)
            cell = self._number(column, names[place], cohort, kept)
            if cell is not None:
                cells[group] = cell
                shown[0, place] = round(cell.n)
        missing = width - len(groups)
        hidden = self._hide(shown, [[*names, *[""] * missing]], totals)
        for group, name, away in zip(groups, names, hidden[0], strict=False):
            if away:
                self.book.withhold((_series(column), name))
                del cells[group]
        return cells

    def _number(
        self, column: Column, name: str, cohort: Members, kept: NDArray[np.float64]
    ) -> NumberCell | None:
        """Return the cell of a number in one group, or none."""

        def fresh() -> Safe[NumberAnswer]:
            return _number_answer(column, kept, self.profile)

        answer = self.book.settle((_series(column), name), cohort, fresh, NumberAnswer)
        self.decisions.extend(answer.decisions)
        found = answer.value
        count = self._count(name, cohort)
        if found is None or not count:
            return None
        shape = Histogram(found.edges, found.counts)
        return NumberCell.of(column, count, (found.mean, found.variance), shape)

    def _levels(self, column: Column, groups: Groups) -> dict[str, Cell]:
        """Return the cells of a category or binary that may leave, by group."""
        found = codes(self.table, column, levels_of(column))
        cells: dict[str, Cell] = {}
        for group, shown in zip(
            groups, self._counts(column, found, groups), strict=True
        ):
            if not self._labels_pass(column, shown):
                continue
            hidden = (shown == 0) & (not self.profile.exact)
            cells[group] = LevelCell(shown.astype(np.float64), hidden.astype(float))
        return cells

    def _counts(
        self, column: Column, found: NDArray[np.int64], groups: Groups
    ) -> NDArray[np.int64]:
        """Return rounded counts, shape (groups, levels), second cells suppressed."""
        levels = levels_of(column)
        names = [
            [self._name(f"{column.name}={level}", group) for level in levels]
            for group in groups
        ]
        inside = [found == index for index in range(len(levels))]
        rows = [members & (found >= 0) for members in groups.values()]
        columns = inside if self.layout.by else []
        totals = self._totals(rows, columns, len(levels))
        shown = np.zeros((len(groups), len(levels)), dtype=np.int64)
        for row, members in enumerate(groups.values()):
            for place, level in enumerate(inside):
                shown[row, place] = self._count(names[row][place], members & level)
        return np.where(self._hide(shown, names, totals), 0, shown)

    def _count(self, name: str, members: Members) -> int:
        return count_cell(self.book, self.profile, name, members, self.decisions)

    def _totals(
        self, rows: list[Members], columns: list[Members], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what was released of the totals of a table so far; 0 where nothing.

        Read before the table's own cells are answered: what counts is what is out.
        """
        by_row = [self._known(members) for members in rows]
        by_column = [self._known(members) for members in columns] or [0] * width
        return np.array(by_row, np.int64), np.array(by_column, np.int64)

    def _hide(
        self,
        shown: NDArray[np.int64],
        names: list[list[str]],
        totals: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Members:
        """Return the second cells of a table, and take their answers back (rule 5)."""
        hidden = np.zeros(shown.shape, dtype=np.bool_)
        released = totals[0].any() or totals[1].any()
        # where nothing is suppressed, no total gives anything back
        if self.profile.exact or not released or shown.all():
            return hidden
        new = [[self.book.is_new(("count", name)) for name in row] for row in names]
        free = np.array(new, dtype=np.bool_).reshape(shown.shape)
        second = second_cells(shown, totals, free, self.profile)
        self.decisions.extend(second.decisions)
        if second.value is not None:
            hidden = second.value
        for row, column in np.argwhere(hidden).tolist():
            self.book.withhold(("count", names[row][column]))
        return hidden

    def _known(self, members: Members) -> int:
        """Return the rounded count of patients that was released already, or 0."""
        return self.book.known(("count", ""), members, int) or 0

    def _labels_pass(self, column: Column, shown: NDArray[np.int64]) -> bool:
        """Rule 14, from released counts alone."""
        n = int(least_counts(shown, self.profile).sum())
        decision = check_labels(levels_of(column), n, self.profile)
        self.decisions.append(decision)
        return decision.allow

    def _name(self, part: str, group: str) -> str:
        """Return the name of a cell: the same whichever column is grouped by."""
        parts = {part}
        if group and self.layout.by is not None:
            parts.add(f"{self.layout.by.name}={group}")
        return "&".join(sorted(parts))


def _number_answer(
    column: Column, values: NDArray[np.float64], profile: Profile
) -> Safe[NumberAnswer]:
    """Return what may be said about the values of a cohort, all of it or nothing."""
    mean = safe_mean(values, column.resolution, profile)
    variance = safe_variance(values, column.resolution, profile)
    # the layout's bins are for showing: histograms of one cohort with 20, 19, 18 ...
    # bins would together tell more than any of them
    shape = safe_histogram(values, column.grid(), profile)
    decisions = (*mean.decisions, *variance.decisions, *shape.decisions)
    if mean.value is None or variance.value is None or shape.value is None:
        return Safe(None, decisions)
    histogram = shape.value
    answer = NumberAnswer(mean.value, variance.value, histogram.edges, histogram.counts)
    return Safe(answer, decisions)

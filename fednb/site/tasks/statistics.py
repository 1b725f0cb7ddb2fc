"""Statistics of table columns at one site: only values that may leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.errors import InputError
from fednb.privacy.cells import safe_levels, safe_mean, safe_variance
from fednb.privacy.histograms import safe_histogram
from fednb.privacy.rounding import round_count
from fednb.privacy.rules import PATIENTS
from fednb.privacy.tables import LevelCell, NumberCell, levels_of
from fednb.site.tasks.table import codes, numbers, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import Cell, Key, StatisticsLayout
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.table import Table

    Found = tuple[Cell | None, tuple[Decision, ...]]
    Groups = dict[str, NDArray[np.intp] | slice]


def statistics(
    job: Job, profile: Profile, layout: StatisticsLayout
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
    reason = f"{len(job.manifest.patients)} rows, each another patient"
    decisions = [PATIENTS.decide(reason, profile, allow=True)]
    groups, found = _groups(table, layout, profile)
    decisions.extend(found)
    cells: dict[Key, Cell] = {}
    for column in layout.columns:
        by_group = _cells(table, column, groups, profile)
        for group in layout.groups():
            cell, found = by_group.get(group, (None, ()))
            decisions.extend(found)
            kept = layout.suppressed(column) if cell is None else cell
            cells[column.name, group] = kept
    return layout.encode(cells), tuple(decisions)


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


def _cells(
    table: Table, column: Column, groups: Groups, profile: Profile
) -> dict[str, Found]:
    """Return the cell of a column in each group."""
    if column.kind == "number":
        values = numbers(table, column)
        return {g: _number_cell(column, values[r], profile) for g, r in groups.items()}
    found = codes(table, column, levels_of(column))
    return {g: _level_cell(column, found[r], profile) for g, r in groups.items()}


def _groups(
    table: Table, layout: StatisticsLayout, profile: Profile
) -> tuple[Groups, tuple[Decision, ...]]:
    """Return the patients of each group that may be looked at, and no others."""
    if layout.by is None:
        return {"": slice(None)}, ()
    found = codes(table, layout.by, layout.levels)
    counts = np.bincount(found[found >= 0], minlength=len(layout.levels))
    by_level = dict(zip(layout.levels, counts.tolist(), strict=True))
    safe = safe_levels(by_level, profile)
    groups: Groups = {
        level: np.flatnonzero(found == index)
        for index, level in enumerate(layout.levels)
        if safe.value is not None and safe.value[level] > 0
    }
    return groups, safe.decisions


def _number_cell(
    column: Column, values: NDArray[np.float64], profile: Profile
) -> Found:
    """Return the cell of a number in one group, or none, and why."""
    present = values[~np.isnan(values)].clip(column.lower, column.upper)
    mean = safe_mean(present, column.resolution, profile)
    variance = safe_variance(present, column.resolution, profile)
    # the layout's bins are for showing: histograms of one cohort with 20, 19, 18 ...
    # bins would together tell more than any of them
    shape = safe_histogram(present, column.grid(), profile)
    decisions = (*mean.decisions, *variance.decisions, *shape.decisions)
    if mean.value is None or variance.value is None or shape.value is None:
        return None, decisions
    n = round_count(present.size, profile)
    moments = (mean.value, variance.value)
    return NumberCell.of(column, n, moments, shape.value), decisions


def _level_cell(column: Column, found: NDArray[np.int64], profile: Profile) -> Found:
    """Return the cell of a category or binary in one group, or none, and why."""
    levels = levels_of(column)
    counts = np.bincount(found[found >= 0], minlength=len(levels))
    safe = safe_levels(dict(zip(levels, counts.tolist(), strict=True)), profile)
    if safe.value is None:
        return None, safe.decisions
    shown = np.array([safe.value[level] for level in levels], dtype=np.float64)
    hidden = np.zeros(shown.size) if profile.exact else (shown == 0).astype(np.float64)
    return LevelCell(shown, hidden), safe.decisions

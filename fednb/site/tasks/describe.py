"""Rounded counts of a dataset: subjects, non-missing values, modalities."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import UnknownNameError
from fednb.privacy.cells import safe_count
from fednb.privacy.tables import DescribeLayout, levels_of
from fednb.site.tasks.table import codes, numbers, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.table import Table


def describe(
    job: Job, profile: Profile, layout: DescribeLayout | None = None
) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
    """Return a site's rounded counts, and the decisions behind them.

    Parameters
    ----------
    job
        Names the table and the manifest.
    profile
        The stricter of the site's and the contract's.
    layout
        Columns and modalities to count; all of the manifest's by default.

    Returns
    -------
    vector
        Shape (layout.size,), float64, as `DescribeLayout` lays it out; 0 below the
        threshold, as for none.
    decisions
        Private to the site.

    Raises
    ------
    UnknownNameError
        The layout names a column that the dataset lacks.
    DatasetError
        The table cannot be read.
    """
    manifest = job.manifest
    layout = layout or DescribeLayout.of(manifest)
    table = table_of(job)
    declared = {column.name: column for column in manifest.columns}
    decisions: list[Decision] = []

    def shown(n: int) -> int:
        safe = safe_count(n, profile)
        decisions.extend(safe.decisions)
        return safe.value or 0

    columns = {}
    for name in layout.columns:
        if name not in declared:
            raise UnknownNameError("column", name, declared)
        columns[name] = shown(_present(table, declared[name]))
    having = _having(manifest)
    modalities = {name: shown(having[name]) for name in layout.modalities}
    vector = layout.encode(shown(len(manifest.patients)), columns, modalities)
    return vector, tuple(decisions)


def _present(table: Table, column: Column) -> int:
    """Return the number of patients with a value that statistics would use."""
    if column.kind == "number":
        return int(np.count_nonzero(~np.isnan(numbers(table, column))))
    return int(np.count_nonzero(codes(table, column, levels_of(column)) >= 0))


def _having(manifest: Manifest) -> defaultdict[str, int]:
    """Return the number of distinct patients with a volume, by modality."""
    pairs = {(volume.modality, volume.patient) for volume in manifest.volumes}
    counts: defaultdict[str, int] = defaultdict(int)
    for modality, _ in pairs:
        counts[modality] += 1
    return counts

"""Rounded counts of a dataset: subjects, non-missing values, modalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import UnknownNameError
from fednb.privacy.differencing import Book
from fednb.privacy.rules import PATIENTS
from fednb.privacy.tables import levels_of
from fednb.site.tasks.table import codes, count_cell, numbers, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import DescribeLayout
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.table import Table

    Members = NDArray[np.bool_]


def describe(
    job: Job, profile: Profile, layout: DescribeLayout, book: Book | None = None
) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
    """Return a site's rounded counts, and the decisions behind them.

    Parameters
    ----------
    job
        Names the table and the manifest.
    profile
        The stricter of the site's and the contract's.
    layout
        Columns and modalities to count, the same at every site; of a modality that the
        site lacks it counts nobody.
    book
        Earlier answers; takes up those of this table. None: there are none.

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
    table = table_of(job)
    declared = {column.name: column for column in job.manifest.columns}
    for name in layout.columns:
        if name not in declared:
            raise UnknownNameError("column", name, declared)
    having = _having(job.manifest)
    patients = len(job.manifest.patients)
    settled = book or Book.blank(profile, patients)
    reason = f"{patients} rows, each another patient"
    decisions = [PATIENTS.decide(reason, profile, allow=True)]

    def shown(name: str, members: Members | None) -> int:
        # what nobody here has is not remembered: its name is the requester's choice
        if members is None:
            return 0
        return count_cell(settled, profile, name, members, decisions)

    counts = [shown("", np.ones(patients, dtype=np.bool_))]
    counts += [shown(f"{n}?", _present(table, declared[n])) for n in layout.columns]
    counts += [shown(f"volume {n}", having.get(n)) for n in layout.modalities]
    return layout.encode(counts, exact=profile.exact), tuple(decisions)


def _present(table: Table, column: Column) -> Members:
    """Return which patients have a value that statistics would use."""
    if column.kind == "number":
        return ~np.isnan(numbers(table, column))
    return codes(table, column, levels_of(column)) >= 0


def _having(manifest: Manifest) -> dict[str, Members]:
    """Return which patients have a volume, by modality."""
    places = {patient: place for place, patient in enumerate(manifest.patients)}
    found: dict[str, Members] = {}
    for volume in manifest.volumes:
        if volume.modality not in found:
            found[volume.modality] = np.zeros(len(places), dtype=np.bool_)
        if volume.patient in places:
            found[volume.modality][places[volume.patient]] = True
    return found

"""The clinical table at a site, read once and kept in memory: private."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import DatasetError, UnknownNameError
from fednb.privacy.cells import safe_count
from fednb.site.tasks.csv_table import PATIENT, read_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fednb.privacy.differencing import Book
    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.csv_table import Values
    from fednb.site.tasks.job import Job

    Table = dict[str, Values]
    Version = tuple[Path, tuple[int, int, int], tuple[tuple[str, str], ...]]

__all__ = [
    "KEPT_BYTES",
    "PATIENT",
    "codes",
    "count_cell",
    "load_table",
    "numbers",
    "table_of",
]

KEPT_BYTES: Final = 256 * 2**20
"""What the tables kept in memory take at most, all sites of a process together."""


def load_table(path: str | Path, columns: Iterable[Column] = ()) -> Table:
    """Return a clinical table by column, one row a patient.

    Tables used last are kept, up to `KEPT_BYTES`; a file that changes in size or time
    is read anew.

    Parameters
    ----------
    path
        CSV in UTF-8 with a header and a column ``patient_id``.
    columns
        As the owner declares them: numbers and binaries must hold numbers, categories
        stay text. Other columns are numbers where every value is one.

    Returns
    -------
    table
        As `read_columns`.

    Raises
    ------
    DatasetError
        As `read_columns`.
    """
    file = Path(path)
    try:
        stat = file.stat()
    except OSError as error:
        problem = f"the table {file.name} cannot be read: {error.strerror}"
        raise DatasetError([problem]) from error
    kinds = tuple(sorted((column.name, column.kind) for column in columns))
    version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return dict(_kept.table((file, version, kinds)))


def table_of(job: Job) -> Table:
    """Return the table of a job.

    Raises
    ------
    DatasetError
        As for `load_table`; or the table has other patients than the manifest.
    """
    table = load_table(job.table, job.manifest.columns)
    rows, patients = table[PATIENT].size, len(job.manifest.patients)
    if rows != patients:
        problem = f"the table has {rows} patients, the manifest {patients}"
        raise DatasetError([problem])
    return table


def numbers(table: Mapping[str, Values], column: Column) -> NDArray[np.float64]:
    """Return a number column, shape (patients,), NaN where missing or infinite.

    Raises
    ------
    UnknownNameError
        The table has no such column.
    """
    values = np.asarray(_column(table, column.name), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def codes(
    table: Mapping[str, Values], column: Column, levels: tuple[str, ...]
) -> NDArray[np.int64]:
    """Return the level of each patient by index, -1 where missing or not declared.

    Parameters
    ----------
    table
        From `load_table`.
    column
        A category or binary.
    levels
        Its labels in order.

    Raises
    ------
    UnknownNameError
        The table has no such column.
    """
    values = _column(table, column.name)
    found = np.full(values.size, -1, dtype=np.int64)
    for index, level in enumerate(levels):
        wanted = float(level) if column.kind == "binary" else level
        found[values == wanted] = index
    return found


def count_cell(
    book: Book,
    profile: Profile,
    name: str,
    members: NDArray[np.bool_],
    decisions: list[Decision],
) -> int:
    """Return the one rounded count of a cohort, 0 where it may not leave (rule 5).

    Parameters
    ----------
    book
        Earlier answers; takes up this one.
    profile
        Of the contract.
    name
        Of the cell: ``"age?"`` for those with an age, ``"sex=F"``, both with ``&``.
    members
        Which patients are in it, shape (patients,).
    decisions
        Takes up those that were made.
    """
    size = int(np.count_nonzero(members))
    fresh = partial(safe_count, size, profile)
    safe = book.settle(("count", name), members, fresh, int)
    decisions.extend(safe.decisions)
    return safe.value or 0


class _Kept:
    """The tables used last; one is read at a time, and never twice."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Version, Table] = OrderedDict()
        self._turn = threading.Lock()

    def table(self, version: Version) -> Table:
        """Return a table as a file has it; this is read where it is not kept."""
        with self._turn:
            if version not in self._tables:
                file, _, kinds = version
                self._tables[version] = read_columns(file, dict(kinds))
            self._tables.move_to_end(version)
            self._let_go()
            return self._tables[version]

    def _let_go(self) -> None:
        sizes = [sum(c.nbytes for c in t.values()) for t in self._tables.values()]
        most = sum(sizes)
        # the newest, last, stays however large it is
        for size in sizes[:-1]:
            if most <= KEPT_BYTES:
                return
            most -= size
            self._tables.popitem(last=False)


_kept = _Kept()


def _column(table: Mapping[str, Values], name: str) -> Values:
    if name not in table:
        raise UnknownNameError("column", name, table)
    return table[name]

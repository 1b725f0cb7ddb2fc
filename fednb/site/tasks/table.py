"""The clinical table at a site, read once and kept in memory: private."""

from __future__ import annotations

import csv
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import DatasetError, UnknownNameError
from fednb.privacy.cells import safe_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fednb.privacy.differencing import Book
    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job

    Values = NDArray[np.float64] | NDArray[np.str_]
    Table = dict[str, Values]

PATIENT: Final = "patient_id"
"""Name of the column that identifies a patient."""

MISSING: Final = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A"}
)
"""How tables write that a value is missing."""


def load_table(path: str | Path, columns: Iterable[Column] = ()) -> Table:
    """Return a clinical table by column, one row a patient.

    The last few tables are kept; a file that changes in size or time is read anew.

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
        Read-only arrays of shape (patients,): float64 with NaN where missing, or
        strings with ``""`` where missing. Patient ids are strings.

    Raises
    ------
    DatasetError
        The file cannot be read, a row has another length than the header, a patient
        is listed twice, or a declared number is text.
    """
    file = Path(path)
    try:
        stat = file.stat()
    except OSError as error:
        problem = f"the table {file.name} cannot be read: {error.strerror}"
        raise DatasetError([problem]) from error
    kinds = tuple(sorted((column.name, column.kind) for column in columns))
    version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return dict(_read(file, version, kinds))


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


def _column(table: Mapping[str, Values], name: str) -> Values:
    if name not in table:
        raise UnknownNameError("column", name, table)
    return table[name]


@lru_cache(maxsize=8)
def _read(
    file: Path, version: tuple[int, int, int], kinds: tuple[tuple[str, str], ...]
) -> Table:
    """Read and parse; `version` is there to tell a changed file from a kept one."""
    del version
    header, rows = _rows(file)
    if not rows or PATIENT not in header:
        problem = f"the table {file.name} has no rows or no column {PATIENT!r}"
        raise DatasetError([problem])
    texts = dict(zip(header, zip(*rows, strict=True), strict=True))
    declared = dict(kinds)
    table: Table = {}
    for name, column in texts.items():
        text = np.array(column, dtype=np.str_)
        if name == PATIENT:
            table[name] = _patients(text)
        else:
            table[name] = _values(name, text, declared.get(name, ""))
        table[name].flags.writeable = False
    return table


def _rows(file: Path) -> tuple[list[str], list[list[str]]]:
    """Return header and rows, all of the header's length."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = [line for line in csv.reader(stream, strict=True) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"the table {file.name} cannot be read as CSV: {error}"
        raise DatasetError([problem]) from error
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    problems = [
        f"the table's row {i} has {len(row)} values; its header has {len(header)}"
        for i, row in enumerate(rows, start=1)
        if len(row) != len(header)
    ]
    if len(set(header)) < len(header):
        problems.append(f"the table names a column twice: {header}")
    if problems:
        raise DatasetError(problems)
    return header, rows


def _patients(ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """Refuse a patient without an id or with two rows: a row is a patient (rule 1)."""
    distinct, counts = np.unique(ids, return_counts=True)
    problems = [
        f"patient '{name}' has {count} rows; keep one"
        for name, count in zip(distinct[counts > 1], counts[counts > 1], strict=True)
    ]
    if "" in distinct:
        problems.append(f"a row has no {PATIENT}")
    if problems:
        raise DatasetError(problems)
    return ids


def _values(name: str, text: NDArray[np.str_], kind: str) -> Values:
    """Parse a column: text if declared a category, else numbers where possible."""
    missing = np.isin(text, list(MISSING))
    if kind != "category":
        try:
            return np.where(missing, "nan", text).astype(np.float64)
        except ValueError as error:
            if kind:
                problem = f"column {name!r} is declared a {kind}, but {error}"
                raise DatasetError([problem]) from error
    return np.where(missing, "", text)

"""Read a clinical table and check it against its owner's declaration."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fednb.errors import DatasetError
from fednb.records.base import file_sha256
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

PATIENT: Final = "patient_id"
MAX_LABEL: Final = 80
MAX_LEVELS: Final = 40

_SHOWN: Final = 5
_DURATIONS: Final = ("os_", "pfs_", "survival", "time_to", "duration")
_MOSTLY: Final = 0.8
"""A column of which as many values are numbers is of numbers, with faults."""

_ALIKE: Final = ("patient", "patientid", "patientname", "subject", "subjectid", "id")
"""How others call the column of ids."""

_EMPTY: Final = ("", "NA", "NaN", "nan", "N/A", "null")


def read_table(path: Path, columns: Sequence[Column] = ()) -> pd.DataFrame:
    """Read a CSV table with ids and categories as text, the rest as numbers.

    Parameters
    ----------
    path
        The CSV file, with a header and the column ``patient_id``.
    columns
        The owner's declaration. Declared numbers become floats, with NaN where a
        value is missing or is none; undeclared columns keep pandas' guess.

    Raises
    ------
    DatasetError
        The file cannot be read as a table, or has no column ``patient_id``.
    """
    text = {c.name: str for c in columns if c.kind == "category"}
    frame = _read(path, {PATIENT: str, **text})
    for column in columns:
        if column.kind != "category" and column.name in frame.columns:
            frame[column.name] = _numbers(frame[column.name]).astype(float)
    return frame


def table_hash(path: Path) -> str:
    """Return the SHA-256 of the table's file.

    Raises
    ------
    DatasetError
        The file cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        text = f"{path.name}: cannot be read ({error.strerror})"
        raise DatasetError([text]) from error


def infer_columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Propose a declaration for the owner to correct.

    The bounds are rounded outwards to a grid of a tenth of the range, so that no
    patient's value is a bound; they are still read from the data, and an owner should
    write down bounds known beforehand.

    Parameters
    ----------
    frame
        The table; ``patient_id`` is left out.

    Returns
    -------
    tuple of Column
        In the order of the table. A column of only 0 and 1 is binary, other numbers
        are numbers, the rest are categories.
    """
    names = [str(name) for name in frame.columns if name != PATIENT]
    return tuple(_infer(name, frame[name].dropna()) for name in names)


def table_problems(
    frame: pd.DataFrame, columns: Sequence[Column], expected_labels: Sequence[str] = ()
) -> list[str]:
    """Return what is wrong with a table as read by pandas, one line a problem.

    Parameters
    ----------
    frame
        The table as `read_raw` returns it: every value as text.
    columns
        The owner's declaration.
    expected_labels
        Columns in which no value may be missing.
    """
    problems = _patient_problems(frame)
    for column in columns:
        if column.name in frame.columns:
            problems += _column_problems(frame, column)
        else:
            problems.append(f"column {column.name}: declared, but not in the table")
    for name in expected_labels:
        if name not in frame.columns:
            problems.append(f"column {name}: labels expected, but not in the table")
        elif frame[name].isna().any():
            bad = frame[PATIENT][frame[name].isna()]
            problems.append(f"column {name}: label missing for {_some(bad)}")
    return problems


def read_raw(path: Path) -> pd.DataFrame:
    """Read a table with every value as text and missing ones as NaN.

    Raises
    ------
    DatasetError
        As for `read_table`.
    """
    return _read(path, str)


def _read(path: Path, kinds: object) -> pd.DataFrame:
    """Read a CSV file and check that it has patients."""
    # imported here: much that a site serves needs no table
    import pandas as pd

    try:
        frame: pd.DataFrame = pd.read_csv(
            path,
            dtype=kinds,  # type: ignore[call-overload]
            keep_default_na=False,
            na_values=list(_EMPTY),
        )
    except OSError as error:
        problem = f"{path.name}: cannot be read ({error.strerror})"
        raise DatasetError([problem]) from error
    except UnicodeDecodeError as error:
        problem = (
            f"{path.name}: is not text in UTF-8; save it from the spreadsheet as CSV, "
            "UTF-8, with commas"
        )
        raise DatasetError([problem]) from error
    except (ValueError, pd.errors.ParserError) as error:
        problem = f"{path.name}: is not a CSV table ({error})"
        raise DatasetError([problem]) from error
    if PATIENT not in frame.columns:
        raise DatasetError([_without_patients(path, [str(n) for n in frame.columns])])
    return frame


def _without_patients(path: Path, names: list[str]) -> str:
    """Say which columns there are, and what may have become of the patients'."""
    problem = f"{path.name}: has no column {PATIENT}; it has {names}"
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        return f"{problem}: save it with commas between the columns"
    alike = [n for n in names if re.sub("[^a-z]", "", n.lower()) in _ALIKE]
    return f"{problem}: rename {alike[0]} to {PATIENT}" if alike else problem


def _numbers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return values as numbers, NaN where one is none."""
    import pandas as pd

    return pd.to_numeric(values, errors="coerce")


def _patient_problems(frame: pd.DataFrame) -> list[str]:
    """Check the ids, which are folder names too."""
    problems = []
    ids = frame[PATIENT]
    if frame.empty:
        problems.append("the table has no rows")
    if ids.isna().any():
        rows = (np.flatnonzero(ids.isna()) + 2).tolist()
        problems.append(f"{PATIENT} is missing in line {_some(rows)}")
    doubled = ids[ids.notna() & ids.duplicated()].unique()
    if len(doubled):
        problems.append(f"duplicate patients: {_some(doubled)}")
    known = ids.dropna().astype(str)
    unsafe = known[known.str.contains(r"[/\\\x00]") | known.isin([".", ".."])]
    if len(unsafe):
        problems.append(f"ids that cannot be folder names: {_some(unsafe)}")
    return problems


def _column_problems(frame: pd.DataFrame, column: Column) -> list[str]:
    """Check one declared column."""
    problems = []
    if len(column.name) > MAX_LABEL:
        problems.append(
            f"column {column.name[:20]}...: name over {MAX_LABEL} characters"
        )
    present = frame[frame[column.name].notna()]
    if column.kind == "category":
        return problems + _category_problems(present, column)
    return problems + _number_problems(present, column)


def _category_problems(present: pd.DataFrame, column: Column) -> list[str]:
    """Check labels against the declared levels."""
    problems = []
    labels = present[column.name].astype(str)
    if len(column.levels) > MAX_LEVELS or labels.nunique() > MAX_LEVELS:
        n = max(len(column.levels), labels.nunique())
        problems.append(f"column {column.name}: {n} levels, at most {MAX_LEVELS}")
    every = {*column.levels, *labels}
    long = sorted(label for label in every if len(label) > MAX_LABEL)
    if long:
        start = f"{long[0][:20]}..."
        problems.append(
            f"column {column.name}: label {start!r} over {MAX_LABEL} characters"
        )
    unknown = labels[~labels.isin(column.levels)]
    if column.levels and len(unknown):
        problems.append(
            f"column {column.name}: {_some(unknown.unique())} not among the levels "
            f"{', '.join(column.levels[:MAX_LEVELS])}"
        )
    return problems


def _number_problems(present: pd.DataFrame, column: Column) -> list[str]:
    """Check numbers against the declared bounds, and binaries against 0 and 1."""
    name, ids = column.name, present[PATIENT]
    values = _numbers(present[name]).astype(float)
    strange = values.isna() | ~np.isfinite(values)
    problems = []
    if strange.any():
        seen, where = _some(present[name][strange].unique()), _some(ids[strange])
        problems.append(f"column {name}: {seen} is no number, at {where}")
    return problems + _bound_problems(ids[~strange], values[~strange], column)


def _bound_problems(
    ids: pd.Series[str], values: pd.Series[float], column: Column
) -> list[str]:
    """Check finite numbers against what their column allows."""
    name, binary = column.name, column.kind == "binary"
    problems = []
    if not binary and not column.lower < column.upper:
        ends = f"lower {column.lower:g} is not below upper {column.upper:g}"
        problems.append(f"column {name}: {ends}")
    negative = values < 0
    if _is_duration(column) and negative.any():
        problems.append(f"column {name}: negative time for {_some(ids[negative])}")
    allowed = f"[{column.lower:g}, {column.upper:g}]"
    outside = (values < column.lower) | (values > column.upper)
    if binary:
        allowed, outside = "0 and 1", ~values.isin([0.0, 1.0])
    if outside.any():
        seen = _some([f"{v:g}" for v in values[outside].unique()])
        where = _some(ids[outside])
        problems.append(f"column {name}: {seen} outside {allowed}, at {where}")
    return problems


def _is_duration(column: Column) -> bool:
    """Tell a survival time by its name or unit."""
    timed = column.unit in {"days", "weeks", "months"}
    return timed or column.name.lower().startswith(_DURATIONS)


def _some(values: Iterable[object]) -> str:
    """Name the first few of many."""
    listed = [str(value) for value in values]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more


def _infer(name: str, values: pd.Series[Any]) -> Column:
    """Propose one column from its values that are not missing."""
    numbers = _numbers(values)
    if values.empty or numbers.notna().mean() < _MOSTLY:
        levels = tuple(sorted({str(value) for value in values}))
        return Column(name=name, kind="category", levels=levels)
    # what is no number among numbers is a fault of the table, which is told as such
    numbers = numbers.dropna()
    if set(numbers.unique()) <= {0, 1}:
        return Column(name=name, kind="binary")
    low, high = float(numbers.min()), float(numbers.max())
    grid = 10.0 ** math.floor(math.log10(max(high - low, abs(high), 1e-6)))
    grid = grid / 10.0 if (high - low) / grid < 2 else grid
    whole = bool((numbers == numbers.round()).all())
    lower = math.floor(low / grid - 0.5) * grid
    # A quantity that is never negative keeps 0 as its bound.
    lower = max(lower, 0.0) if low >= 0 else lower
    upper = math.ceil(high / grid + 0.5) * grid
    return Column(
        name=name,
        kind="number",
        lower=round(lower, 9),
        upper=round(upper, 9),
        step=round(grid / 2.0, 9),
        resolution=1.0 if whole else round(grid / 100.0, 9),
    )

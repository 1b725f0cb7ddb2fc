"""A clinical table from its CSV, a block of rows at a time.

The text is never held as a whole: numbers are parsed as their rows come in, so that
reading takes little more memory than the columns themselves.
"""

from __future__ import annotations

import csv
import math
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import DatasetError
from fednb.survival.memory import matrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Values = NDArray[np.float64] | NDArray[np.str_]

PATIENT: Final = "patient_id"
"""Name of the column that identifies a patient."""

MISSING: Final = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A"}
)
"""How tables write that a value is missing."""

_BLOCK: Final = 4096
"""Rows whose text is held at a time."""

_PIECE: Final = 2**20


def read_columns(file: Path, kinds: Mapping[str, str]) -> dict[str, Values]:
    """Read a table's columns.

    Parameters
    ----------
    file
        CSV in UTF-8 with a header and a column ``patient_id``.
    kinds
        Kind of each declared column; others are numbers where every value is one.

    Returns
    -------
    columns
        Read-only arrays of shape (patients,): float64 with NaN where missing, or
        strings with ``""`` where missing. Patient ids are strings.

    Raises
    ------
    DatasetError
        The file cannot be read, a row has another length than the header, a patient
        is listed twice, or a declared number is text.
    """
    texts = {PATIENT, *(name for name, kind in kinds.items() if kind == "category")}
    found = _read(file, frozenset(texts))
    undeclared = {name for name in found.wrong if not kinds.get(name)}
    if undeclared:
        # what is no number after all is read again, as text
        found = _read(file, frozenset(texts | undeclared))
    return found.columns(kinds)


class _Columns:
    """Columns of a table, filled block by block.

    Parameters
    ----------
    header
        Names of the columns.
    texts
        Those that hold text.
    most
        Rows that there are at most.

    Attributes
    ----------
    rows : int
        Rows taken so far.
    problems : list of str
        Rows of another length than the header.
    wrong : dict
        What is no number, the first of each column that was to hold numbers.
    """

    def __init__(self, header: list[str], texts: frozenset[str], most: int) -> None:
        self.header = header
        self.rows = 0
        self.problems: list[str] = []
        self.wrong: dict[str, ValueError] = {}
        names = [name for name in header if name not in texts]
        # one piece of memory: columns that grow leave holes behind
        self._numbers = dict(zip(names, matrix(len(names), most), strict=True))
        self._texts: dict[str, list[NDArray[np.str_]]] = {
            n: [] for n in header if n in texts
        }

    def take(self, rows: Sequence[Sequence[str]]) -> None:
        """Append a block of rows."""
        width = len(self.header)
        if {*map(len, rows)} != {width}:
            self.problems += [
                f"the table's row {i} has {len(row)} values; its header has {width}"
                for i, row in enumerate(rows, start=self.rows + 1)
                if len(row) != width
            ]
        first, self.rows = self.rows, self.rows + len(rows)
        if self.problems:
            return
        for name, values in zip(self.header, zip(*rows, strict=True), strict=True):
            if name in self._texts:
                self._texts[name].append(np.array(values, dtype=np.str_))
            elif name not in self.wrong:
                try:
                    self._numbers[name][first : self.rows] = _floats(values)
                except ValueError as error:
                    self.wrong[name] = error

    def columns(self, kinds: Mapping[str, str]) -> dict[str, Values]:
        """Return all columns, in the order of the header; this empties the blocks."""
        found: dict[str, Values] = {}
        for name in self.header:
            if name in self.wrong:
                error = self.wrong[name]
                problem = f"column {name!r} is declared a {kinds[name]}, but {error}"
                raise DatasetError([problem]) from error
            if name in self._numbers:
                found[name] = self._numbers[name][: self.rows]
            else:
                text = np.concatenate(self._texts.pop(name))
                ids = name == PATIENT
                found[name] = _patients(text) if ids else _labels(text)
            found[name].flags.writeable = False
        return found


def _read(file: Path, texts: frozenset[str]) -> _Columns:
    """Read the file, some columns as text."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = filter(None, csv.reader(stream, strict=True))
            header = next(lines, [])
            found = _Columns(header, texts, _lines(file))
            for block in _blocks(lines):
                found.take(block)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"the table {file.name} cannot be read as CSV: {error}"
        raise DatasetError([problem]) from error
    problems = found.problems
    if len(set(header)) < len(header):
        problems.append(f"the table names a column twice: {header}")
    if problems:
        raise DatasetError(problems)
    if not found.rows or PATIENT not in header:
        problem = f"the table {file.name} has no rows or no column {PATIENT!r}"
        raise DatasetError([problem])
    return found


def _blocks(lines: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while block := list(islice(lines, _BLOCK)):
        yield block


def _lines(file: Path) -> int:
    """Return how many lines a file has at most, by its line ends of either kind."""
    found = 1
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found += piece.count(b"\n") + piece.count(b"\r")
    return found


def _floats(texts: Sequence[str]) -> NDArray[np.float64]:
    """Parse numbers, NaN where missing."""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        parsed = (math.nan if text in MISSING else float(text) for text in texts)
        return np.fromiter(parsed, np.float64, len(texts))


def _labels(text: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.where(np.isin(text, list(MISSING)), "", text)


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

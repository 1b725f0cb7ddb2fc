"""Plain text: visible strings, aligned tables, and numbers that people read.

Whatever comes from another party goes through `visible`, so that a name can neither
reorder a line (bidirectional marks) nor drive a terminal (escape sequences).
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_CHARACTERS: Final = 200
"""Longest cell shown; the rest is counted."""

MAX_ROWS: Final = 30
"""Rows of a text table shown; the rest is counted."""

DASH: Final = "-"
"""What stands for a value that is missing or suppressed."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Digits(str):
    """A number that is formatted already: tables set it to the right."""

    __slots__ = ()


def visible(value: object, limit: int = MAX_CHARACTERS) -> str:
    r"""Return `value` as one line in which nothing is invisible.

    Control, bidirectional and unassigned characters are written as code points.

    Parameters
    ----------
    value
        Anything; numbers are formatted by `number`.
    limit
        Characters shown; what follows is counted.

    Examples
    --------
    >>> visible("a\u202eb\n")
    'a<U+202E>b<U+000A>'
    """
    full = number(value) if isinstance(value, float) else str(value)
    shown = "".join(map(_mark, full[:limit]))
    rest = len(full) - limit
    return f"{shown}… and {rest} more characters" if rest > 0 else shown


def _mark(character: str) -> str:
    if unicodedata.category(character) in _HIDDEN:
        return f"<U+{ord(character):04X}>"
    return character


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` decimals, fewer where it is large.

    Parameters
    ----------
    value
        None and NaN are shown as a dash.
    digits
        Decimals of numbers below 100; small numbers keep as many significant digits.
    """
    if value is None or math.isnan(value):
        return DASH
    if isinstance(value, int) or math.isinf(value):
        return f"{value}"
    size = abs(value)
    if size and (size < 10.0 ** (1 - digits) or size >= 1e7):
        return f"{value:.{digits}g}"
    decimals = digits if size < 100 else min(1, digits)
    return f"{value:.{decimals}f}"


def human_bytes(count: float) -> str:
    """Return a size in decimal units: ``999 B``, ``1.5 kB``, ``50 MB``."""
    return _scaled(count, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"))


def human_count(count: float) -> str:
    """Return a count: ``999``, ``33.2 k``, ``1.5 M``."""
    return _scaled(count, 1000.0, ("", "k", "M", "G")).rstrip()


def counted(count: int, noun: str, several: str = "") -> str:
    """Return a number of things: ``1 site``, ``3 sites``.

    Parameters
    ----------
    count
        How many.
    noun
        One of them.
    several
        More of them; empty: `noun` with an s.
    """
    return f"{count} {noun if count == 1 else several or f'{noun}s'}"


def human_seconds(seconds: float) -> str:
    """Return a duration: ``0.4 ms``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{round(seconds / 86400)} days"


def utc(seconds: int) -> str:
    """Return a Unix time as ``2026-03-01 09:30 UTC``; any integer is answered."""
    if not 0 <= seconds < 253_402_300_800:  # year 10000
        return f"Unix time {seconds}"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _scaled(count: float, base: float, units: tuple[str, ...]) -> str:
    value, unit = float(count), 0
    while abs(value) >= base * 0.9995 and unit < len(units) - 1:
        value /= base
        unit += 1
    shown = f"{value:.0f}" if unit == 0 or abs(value) >= 99.95 else f"{value:.3g}"
    return f"{shown} {units[unit]}"


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    max_rows: int = MAX_ROWS,
    indent: str = "",
    limit: int = MAX_CHARACTERS,
) -> str:
    """Return an aligned table; numbers right, everything else left.

    Parameters
    ----------
    headers
        One a column.
    rows
        Cells in the order of `headers`; None is shown as a dash.
    max_rows
        Rows shown; the rest is counted in a last line.
    indent
        Put before each line.
    limit
        Characters of a cell shown; what follows is counted.
    """
    every = [tuple(row) for row in rows]
    shown = every[:max_rows]
    grid = [[cell_text(cell, limit) for cell in row] for row in shown]
    right = [
        bool(shown) and all(is_number(row[j]) for row in shown)
        for j in range(len(headers))
    ]
    lines = [[visible(header) for header in headers], *grid]
    widths = [max(_width(line[j]) for line in lines) for j in range(len(headers))]
    text = [indent + _line(line, widths, right).rstrip() for line in lines]
    if len(every) > len(shown):
        text.append(f"{indent}… and {len(every) - len(shown)} more")
    return "\n".join(text)


def fields(
    pairs: Iterable[tuple[str, object]],
    indent: str = "",
    *,
    limit: int = MAX_CHARACTERS,
) -> str:
    """Return ``name: value`` lines with the values aligned.

    Parameters
    ----------
    pairs
        Names and values; None is shown as a dash.
    indent
        Put before each line.
    limit
        Characters of a value shown; what follows is counted.
    """
    every = [(visible(name), cell_text(value, limit)) for name, value in pairs]
    wide = max((_width(name) for name, _ in every), default=0) + 1
    return "\n".join(
        f"{indent}{name}:{' ' * (wide - _width(name))}{value}" for name, value in every
    )


def cell_text(value: object, limit: int = MAX_CHARACTERS) -> str:
    """Return a table cell as visible text; None is a dash."""
    return DASH if value is None else visible(value, limit)


def is_number(value: object) -> bool:
    """Return whether a cell is set to the right, as missing and blank ones are."""
    if isinstance(value, bool) or value is None:
        return value is None
    return isinstance(value, int | float | Digits) or value == ""


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = []
    for cell, width, to_right in zip(cells, widths, right, strict=True):
        pad = " " * (width - _width(cell))
        padded.append(pad + cell if to_right else cell + pad)
    return "  ".join(padded)

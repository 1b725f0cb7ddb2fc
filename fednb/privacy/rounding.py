"""Rounding of counts and values (disclosure rules 3 and 4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from fednb.privacy.profiles import Profile

_FIFTH: Final = 0.2
"""Of a logarithm."""


def round_counts(counts: ArrayLike, profile: Profile) -> NDArray[np.int64]:
    """Return counts as they may leave, same shape.

    Below the threshold: 0, like none. Else to the nearest 10, half up
    (``"nearest-10"``); to ``ceil(n / 6) * 6 - 3`` (``"midpoint-6"``, OpenSAFELY: the
    middle of 1..6, 7..12, ...); or as they are (``"none"``).

    Parameters
    ----------
    counts
        Numbers of distinct patients, >= 0.
    profile
        Gives threshold and rounding.
    """
    n = np.asarray(counts, dtype=np.int64)
    if profile.rounding == "nearest-10":
        rounded = (n + 5) // 10 * 10
    elif profile.rounding == "midpoint-6":
        rounded = -(-n // 6) * 6 - 3
    else:
        rounded = n
    return np.where(n >= max(profile.threshold, 1), rounded, 0)


def round_count(n: int, profile: Profile) -> int:
    """Return one count as it may leave; see `round_counts`."""
    return int(round_counts(n, profile))


def show_count(n: int, profile: Profile) -> str:
    """Return a count as text: ``"<10"`` below the threshold, else rounded."""
    if n < profile.threshold and profile.threshold > 1:
        return f"<{profile.threshold}"
    return str(round_count(n, profile))


def least_counts(rounded: ArrayLike, profile: Profile) -> NDArray[np.int64]:
    """Return the smallest counts that a rounded count can stand for, same shape."""
    slack = {"nearest-10": 5, "midpoint-6": 2, "none": 0}[profile.rounding]
    shown = np.asarray(rounded, dtype=np.int64)
    return np.where(shown > 0, np.maximum(shown - slack, profile.threshold), 0)


def most_counts(rounded: ArrayLike, profile: Profile) -> NDArray[np.int64]:
    """Return the largest counts that a rounded count can stand for, same shape.

    A count that is not shown stands for one below the threshold.
    """
    slack = {"nearest-10": 4, "midpoint-6": 3, "none": 0}[profile.rounding]
    shown = np.asarray(rounded, dtype=np.int64)
    return np.where(shown > 0, shown + slack, max(profile.threshold - 1, 0))


def significant(value: float, digits: int) -> float:
    """Return a number in so many significant digits, 1 or more."""
    return float(f"{value:.{digits - 1}e}")


def to_a_tenth(value: float) -> float:
    """Return the nearest of fixed values, each a fifth above the one before it.

    A number is moved by a tenth at most, wherever it lies: of digits the first counts
    for less the larger it is.

    Parameters
    ----------
    value
        At least 0, which stays.
    """
    return math.exp(round(math.log(value) / _FIFTH) * _FIFTH) if value > 0 else 0.0


def round_value(value: float, resolution: float, profile: Profile) -> float:
    """Return a mean or standard deviation with one decimal beyond its unit.

    Parameters
    ----------
    value
        In the column's unit.
    resolution
        In what steps the column is recorded: 1 for whole years gives tenths of a year.
    profile
        The open profile rounds nothing.
    """
    if profile.exact:
        return value
    # a quotient of whole numbers prints as the decimal it is: 50.1, not 50.1000001
    return round(value * 10 / resolution) * resolution / 10

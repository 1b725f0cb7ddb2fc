"""Survival curves as step functions.

Sources: Kaplan and Meier 1958; Greenwood 1926 (variance); Kalbfleisch and Prentice 1980
(bands on the log(-log) scale); Brookmeyer and Crowley 1982 (intervals of quantiles). A
patient is at risk at t where entry < t <= T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.rows import check_rows, read_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """A survival function that is 1 before the first time and steps at each one.

    Parameters
    ----------
    time
        Ascending, shape (m,).
    survival
        From each time on, 0 to 1, shape (m,).
    std_error
        Greenwood's; 0 where survival has reached 0. Shape (m,).
    at_risk, deaths, censored
        Numbers at, and leaving at, each time, shape (m,).
    """

    time: Floats
    survival: Floats
    std_error: Floats
    at_risk: Floats
    deaths: Floats
    censored: Floats

    def at(self, times: npt.ArrayLike) -> Floats:
        """Survival at given times.

        Parameters
        ----------
        times
            Any shape.
        """
        index = np.searchsorted(self.time, np.asarray(times), side="right")
        return np.concatenate([[1.0], self.survival])[index]

    def band(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return pointwise bounds on the log(-log) scale.

        Parameters
        ----------
        level
            Confidence level, between 0 and 1.

        Returns
        -------
        lower, upper
            Shape (m,), within 0 and 1. Both are 1 before the first death; where
            survival has reached 0, the lower one is 0 and the upper one stays where it
            was.

        Raises
        ------
        InputError
            The level lies outside (0, 1).
        """
        if not 0 < level < 1:
            message = f"The confidence level is {level}; it lies between 0 and 1."
            raise InputError(message)
        s = self.survival
        inside = (s > 0) & (s < 1)
        lower, upper = s.copy(), s.copy()
        z = NormalDist().inv_cdf(0.5 + level / 2)
        width = z * self.std_error[inside] / (s[inside] * -np.log(s[inside]))
        lower[inside] = s[inside] ** np.exp(width)
        upper[inside] = s[inside] ** np.exp(-width)
        ended = s <= 0
        if ended.any():
            first = int(np.argmax(ended))
            upper[ended] = upper[first - 1] if first else 1.0
        return lower, upper

    def quantile(self, share: float = 0.5) -> float:
        """Return the first time by which a share of the patients has died.

        Parameters
        ----------
        share
            Between 0 and 1; .5 for the median.

        Returns
        -------
        float
            Infinite where survival stays above ``1 - share``.
        """
        return _first(self.time, self.survival, 1 - share)

    def quantile_interval(
        self, share: float = 0.5, level: float = 0.95
    ) -> tuple[float, float]:
        """Return where the `band` crosses; infinite where it does not.

        Parameters
        ----------
        share
            As for `quantile`.
        level
            As for `band`.

        Raises
        ------
        InputError
            The level lies outside (0, 1).
        """
        lower, upper = self.band(level)
        target = 1 - share
        return _first(self.time, lower, target), _first(self.time, upper, target)


def kaplan_meier(
    time: npt.ArrayLike, event: npt.ArrayLike, entry: npt.ArrayLike | None = None
) -> SurvivalCurve:
    """Estimate the survival function.

    Parameters
    ----------
    time
        Exit times, shape (n,), n >= 1.
    event
        1 for a death, 0 for censoring, shape (n,).
    entry
        Left truncation times before the exit times, shape (n,), or None.

    Returns
    -------
    SurvivalCurve
        A step at each distinct exit time.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, an event is not 0 or 1, or an entry is
        not before its exit.
    """
    rows = check_rows(np.size(time), time, event, entry, None, None)
    grid, index = np.unique(rows.time, return_inverse=True)
    exits = np.bincount(index, minlength=grid.size)
    deaths = np.bincount(index[rows.event], minlength=grid.size)
    at_risk = exits[::-1].cumsum()[::-1]
    if rows.entry is not None:
        entries = np.sort(rows.entry)
        at_risk -= entries.size - np.searchsorted(entries, grid, side="left")
    return kaplan_meier_from_counts(grid, deaths, exits - deaths, at_risk)


def kaplan_meier_from_counts(
    grid: npt.ArrayLike,
    deaths: npt.ArrayLike,
    censored: npt.ArrayLike,
    at_risk: npt.ArrayLike,
) -> SurvivalCurve:
    """Estimate the survival function from counts by time or interval.

    Parameters
    ----------
    grid
        Times, or ends of intervals, strictly ascending, shape (m,).
    deaths, censored
        Leaving at each, at least 0, shape (m,); need not be whole numbers.
    at_risk
        At each time (at the start of each interval), shape (m,).

    Raises
    ------
    InputError
        If shapes differ, the grid does not ascend, a count is negative, or there are
        more deaths than patients at risk.
    """
    times = np.asarray(grid, dtype=np.float64)
    m = times.size
    times = read_vector("grid times", times, m)
    died = read_vector("deaths", deaths, m)
    left = read_vector("censored counts", censored, m)
    risk = read_vector("numbers at risk", at_risk, m)
    if (np.diff(times) <= 0).any() or min(*died, *left, *risk, 0.0) < 0:
        message = "The grid must ascend strictly and no count may be negative."
        raise InputError(message)
    if (died > risk).any():
        first = int(np.argmax(died > risk))
        message = (
            f"{died[first]:g} deaths among {risk[first]:g} at risk at time "
            f"{times[first]:g}; count both over the same patients."
        )
        raise InputError(message)
    survivors = risk - died
    share = np.divide(survivors, risk, out=np.ones(m), where=risk > 0)
    survival = np.asarray(np.cumprod(share), dtype=np.float64)
    terms = np.divide(died, risk * survivors, out=np.zeros(m), where=survivors > 0)
    std_error = survival * np.sqrt(np.cumsum(terms))
    return SurvivalCurve(times, survival, std_error, risk, died, left)


def _first(time: Floats, values: Floats, target: float) -> float:
    """Return the first time at which falling values have reached a target."""
    # a product of shares misses a round figure by a rounding error
    reached = np.flatnonzero(values <= target + 1e-12)
    return float(time[reached[0]]) if reached.size else math.inf

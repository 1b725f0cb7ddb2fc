"""Survival and censoring on a grid of intervals, and the weights that they give.

A grid t_1 < ... < t_m has intervals (t_(j-1), t_j], numbered from 0, and a last one, m,
for whoever is followed beyond t_m. In an interval deaths come before censorings, so a
death in interval j was uncensored with the probability of the curve before j.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class GridCurves:
    """Kaplan-Meier curves of survival and of censoring on a grid of m times.

    Parameters
    ----------
    at_risk
        At the start of each interval, shape (m,).
    deaths
        In each interval, shape (m,).
    survival
        At each time, shape (m,).
    uncensored
        Probability of not being censored before each interval, then beyond the last
        time, shape (m + 1,).
    """

    at_risk: Floats
    deaths: Floats
    survival: Floats
    uncensored: Floats

    @property
    def death_weight(self) -> Floats:
        """Inverse probability of being uncensored at a death, shape (m + 1,).

        Zero where it cannot be estimated, and beyond the grid.
        """
        weight = _inverse(self.uncensored)
        weight[-1] = 0.0
        return weight

    @property
    def after_weight(self) -> Floats:
        """Inverse probability of being uncensored after each time, shape (m,)."""
        return _inverse(self.uncensored[1:])


def intervals_of(time: npt.ArrayLike, grid: npt.ArrayLike) -> Ints:
    """Return the interval of each time, 0 to m, shape (n,).

    Parameters
    ----------
    time
        Shape (n,).
    grid
        Ascending, shape (m,).
    """
    return np.searchsorted(np.asarray(grid), np.asarray(time), side="left")


def grid_curves(deaths: npt.ArrayLike, censored: npt.ArrayLike) -> GridCurves:
    """Estimate both curves from counts by interval.

    Parameters
    ----------
    deaths, censored
        Leaving in each interval, the last one beyond the grid, shape (m + 1,), >= 0.
    """
    died = np.asarray(deaths, dtype=np.float64)
    left = np.asarray(censored, dtype=np.float64)
    at_risk = (died + left)[::-1].cumsum()[::-1]
    survival = np.asarray(np.cumprod(1.0 - _share(died, at_risk)), dtype=np.float64)
    uncensored = np.cumprod(1.0 - _share(left, at_risk - died))
    return GridCurves(
        at_risk[:-1],
        died[:-1],
        survival[:-1],
        np.concatenate([[1.0], uncensored[:-1]]),
    )


def followed(curves: GridCurves, least: float, share: float = 0.0) -> int:
    """Return how many grid times have enough patients beyond them (rule 10).

    Parameters
    ----------
    curves
        Of all patients.
    least, share
        Patients beyond a time, at least; and their share of all.
    """
    beyond = curves.at_risk - curves.deaths
    wanted = max(least, share * float(curves.at_risk[0]))
    enough = (beyond >= wanted) & (curves.after_weight > 0)
    return int(np.argmin(enough)) if not enough.all() else len(enough)


def _share(part: Floats, whole: Floats) -> Floats:
    # smoothed counts may differ by rounding of their sums
    share = np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-9)
    return np.clip(share, 0.0, 1.0)


def _inverse(probability: Floats) -> Floats:
    return np.divide(
        1.0, probability, out=np.zeros_like(probability), where=probability > 1e-9
    )

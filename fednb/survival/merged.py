"""From counts of merged intervals to counts on another grid.

Within a merged interval the number at risk changes evenly and the hazard is constant,
so that deaths fall where patients are at risk: the actuarial assumption, with which a
curve read between the ends of merged intervals is as good as one at their ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class Knots:
    """A count at the ends of merged intervals.

    Parameters
    ----------
    time
        Where the first interval begins, then the end of each, ascending; shape (m,).
    count
        Patients at risk at these times, or deaths up to them, shape (m,).
    """

    time: Floats
    count: Floats


def at_risk_at(knots: Knots, times: npt.ArrayLike) -> Floats:
    """Return numbers at risk at given times, 0 outside the knots and at their end."""
    asked = np.asarray(times, dtype=np.float64)
    inside = (asked >= knots.time[0]) & (asked < knots.time[-1])
    return np.where(inside, np.interp(asked, knots.time, knots.count), 0.0)


def spread(at_risk: Knots, deaths: Knots, ends: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return deaths and numbers at risk on a grid.

    Parameters
    ----------
    at_risk
        From the first to the last time at which enough patients are at risk.
    deaths
        Between the same times, from 0.
    ends
        Of the intervals of the grid, ascending from above 0, shape (J,).

    Returns
    -------
    deaths, at_risk
        In each interval and at its beginning, shape (J,); both are 0 in intervals that
        do not lie within the knots.
    """
    edges = np.concatenate([[0.0], np.asarray(ends, dtype=np.float64)])
    points = np.unique(np.concatenate([edges, at_risk.time, deaths.time]))
    level = np.interp(points, at_risk.time, at_risk.count, left=0.0, right=0.0)
    areas = np.diff(points) * (level[:-1] + level[1:]) / 2
    exposure = np.concatenate([[0.0], np.cumsum(areas)])
    at_knots = np.interp(deaths.time, points, exposure)
    # the hazard is constant between two knots: deaths go with the exposure
    grown, first = np.unique(at_knots, return_index=True)
    died = np.interp(np.interp(edges, points, exposure), grown, deaths.count[first])
    begins, over = edges[:-1], edges[1:]
    whole = (begins >= deaths.time[0]) & (over <= deaths.time[-1])
    risk = np.where(whole, at_risk_at(at_risk, begins), 0.0)
    return np.minimum(np.where(whole, np.diff(died), 0.0), risk), risk

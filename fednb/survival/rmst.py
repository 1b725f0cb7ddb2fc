"""Restricted mean survival time: the area under a curve up to a horizon.

Sources: Irwin 1949; Royston and Parmar 2013; the variance is that of the Greenwood
estimate (Klein and Moeschberger 2003, section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from fednb.survival.kaplan_meier import SurvivalCurve


@dataclass(frozen=True)
class RestrictedMean:
    """Mean survival time up to a horizon.

    Attributes
    ----------
    value, std_error
        In the unit of time.
    horizon
        Where follow-up is cut, the tau of the literature.
    """

    value: float
    std_error: float
    horizon: float


def restricted_mean(curve: SurvivalCurve, horizon: float) -> RestrictedMean:
    """Return the area under a curve from 0 to a horizon.

    Parameters
    ----------
    curve
        A step function that is 1 before its first time.
    horizon
        Above 0 and at most the last time of the curve, unless survival is 0 there.

    Raises
    ------
    InputError
        The curve does not reach the horizon.
    """
    last = float(curve.time[-1]) if curve.time.size else 0.0
    ended = bool(curve.time.size) and curve.survival[-1] == 0
    if not horizon > 0 or not np.isfinite(horizon) or (horizon > last and not ended):
        message = (
            f"A restricted mean needs a horizon above 0 and up to {last:g}, where the "
            f"curve ends; got {horizon:g}."
        )
        raise InputError(message)
    inside = curve.time < horizon
    starts = np.concatenate([[0.0], curve.time[inside]])
    level = np.concatenate([[1.0], curve.survival[inside]])
    areas = level * np.diff(np.append(starts, horizon))
    # the area to the right of each step
    beyond = np.cumsum(areas[::-1])[::-1][1:]
    risk, died = curve.at_risk[inside], curve.deaths[inside]
    left = risk * (risk - died)
    terms = np.divide(died, left, out=np.zeros(died.size), where=left > 0)
    variance = float((beyond**2 * terms).sum())
    return RestrictedMean(float(areas.sum()), variance**0.5, float(horizon))

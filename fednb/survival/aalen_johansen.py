"""Cumulative incidence of competing causes.

Sources: Aalen and Johansen 1978 (the estimator); Pintilie 2006, section 4.3, and
Marubini and Valsecchi 1995 (its variance by the delta method).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.intervals import check_ends

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class CumulativeIncidence:
    """Chances of each cause up to a time, and of none.

    Parameters
    ----------
    time
        Ascending, shape (J,).
    incidence
        Chance that the cause has happened by each time, shape (C, J).
    std_error
        Of `incidence`, shape (C, J).
    survival
        Chance that no cause has, shape (J,).
    """

    time: Floats
    incidence: Floats
    std_error: Floats
    survival: Floats


def aalen_johansen(
    ends: npt.ArrayLike, deaths: npt.ArrayLike, at_risk: npt.ArrayLike
) -> CumulativeIncidence:
    """Estimate the cumulative incidence of each cause from counts.

    Parameters
    ----------
    ends
        Ends of the intervals, ascending from above 0, shape (J,).
    deaths
        By cause, shape (C, J); need not be whole.
    at_risk
        Of each cause, shape (C, J), or of all, shape (J,). They differ where some
        sites may show the deaths of one cause only.

    Raises
    ------
    InputError
        Shapes do not fit, a count is negative, or more leave than are at risk.
    """
    time = check_ends(ends)
    died = np.asarray(deaths, dtype=np.float64)
    if died.ndim != 2 or died.shape[1] != time.size:
        message = f"Deaths need the shape (causes, {time.size}); got {died.shape}."
        raise InputError(message)
    risk = np.asarray(at_risk, dtype=np.float64)
    if risk.shape not in {died.shape, time.shape}:
        message = f"Numbers at risk of shape {risk.shape} do not fit the deaths."
        raise InputError(message)
    risk = np.broadcast_to(risk, died.shape)
    hazard = np.divide(died, risk, out=np.zeros_like(died), where=risk > 0)
    any_cause = hazard.sum(axis=0)
    if (died < 0).any() or (died > risk).any() or (any_cause > 1 + 1e-12).any():
        message = "Count deaths and patients at risk over the same patients."
        raise InputError(message)
    survival = np.cumprod(np.clip(1 - any_cause, 0.0, 1.0))
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * hazard, axis=1)
    variance = np.array(
        [
            _variance(cause, incidence[cause], before, hazard, risk)
            for cause in range(len(died))
        ]
    ).reshape(died.shape)
    return CumulativeIncidence(time, incidence, np.sqrt(variance), survival)


def _variance(
    cause: int, incidence: Floats, before: Floats, hazard: Floats, risk: Floats
) -> Floats:
    """Return the variance of one cause's incidence at each time, shape (J,).

    At each time the hazards of the causes are shares of those at risk; a hazard moves
    the incidence later on by the survival that it takes away.
    """
    total = hazard.sum(axis=0)
    own = hazard[cause]
    count = np.where(risk > 0, risk, 1.0)
    each = (hazard / count).sum(axis=0)
    # of shares of the same patients; where these differ, of the larger number
    overlap = count.max(axis=0)
    spread = each - total**2 / overlap
    cross = own / count[cause] - own * total / overlap
    alone = own / count[cause] - own**2 / count[cause]
    survivors = 1 - total
    # F(t) - F(s) is 0 for all t after a time at which nobody survives
    per = np.divide(1.0, survivors, out=np.zeros_like(own), where=survivors > 1e-12)
    # sums over s <= t of (F(t) - F(s))^2 a + b - 2 (F(t) - F(s)) c, as powers of F(t)
    a, b, c = spread * per**2, before**2 * alone, before * cross * per
    first = np.cumsum(a)
    second = np.cumsum(a * incidence + c)
    third = np.cumsum(a * incidence**2 + b + 2 * c * incidence)
    value = incidence**2 * first - 2 * incidence * second + third
    return np.asarray(np.maximum(value, 0.0), dtype=np.float64)

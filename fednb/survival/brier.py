"""Brier score of predicted survival over time, and its integral.

Graf, Schmoor, Sauerbrei and Schumacher, Statistics in Medicine 18:2529 (1999). Two
rounds: the censoring curve from pooled counts, then weighted squares, which add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.censoring import GridCurves
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


def brier_sums(
    log_hazard: Floats,
    cumulative_hazard: Floats,
    interval: Ints,
    event: npt.ArrayLike,
    curves: GridCurves,
) -> Floats:
    """Sum one site's weighted squared errors at each grid time, shape (m,).

    Parameters
    ----------
    log_hazard
        Linear predictor, shape (n,).
    cumulative_hazard
        At each grid time, shape (m,).
    interval, event
        Of each patient, shape (n,).
    curves
        Of all patients over all sites.
    """
    dead = np.asarray(event) == 1
    weight = np.where(dead, curves.death_weight[interval], 0.0)
    hazard = np.exp(log_hazard)
    sums = np.empty(len(cumulative_hazard))
    for j, level in enumerate(np.asarray(cumulative_hazard).tolist()):
        survival = np.exp(-hazard * level)
        died = (interval <= j) @ (weight * survival**2)
        alive = (interval > j) @ (1.0 - survival) ** 2
        sums[j] = died + curves.after_weight[j] * alive
    return sums


def null_brier(curves: GridCurves, deaths: Floats, beyond: Floats) -> Floats:
    """Sum the squared errors of Kaplan-Meier's curve as everybody's prediction.

    Parameters
    ----------
    curves
        Of all patients over all sites.
    deaths
        In each interval, shape (m,).
    beyond
        Patients followed beyond each time, shape (m,).

    Returns
    -------
    numpy.ndarray
        Shape (m,).
    """
    died = np.cumsum(curves.death_weight[:-1] * deaths)
    alive = curves.after_weight * beyond
    return curves.survival**2 * died + (1.0 - curves.survival) ** 2 * alive


def integrated(times: npt.ArrayLike, score: npt.ArrayLike) -> float:
    """Return the mean of a score over time, by the trapezoidal rule.

    Parameters
    ----------
    times
        Ascending, shape (m,).
    score
        Shape (m,).

    Returns
    -------
    float
        NaN for fewer than two times.
    """
    t = np.asarray(times, dtype=np.float64)
    if t.size < 2:
        return float("nan")
    return float(np.trapezoid(np.asarray(score), t) / (t[-1] - t[0]))

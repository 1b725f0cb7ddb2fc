"""Survival curves and baseline hazards as step functions.

Sources: Kaplan and Meier 1958; Greenwood 1926 (variance); Breslow 1974 and Efron 1977
(baselines). A patient is at risk at t where entry < t <= T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.rows import check_rows, read_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.riskset import RiskSets, Ties
    from fednb.survival.rows import Ints
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
        return np.append(1.0, self.survival)[index]


@dataclass(frozen=True, eq=False)
class BaselineHazard:
    """Cumulative hazard of a baseline patient, a step function in each stratum.

    Parameters
    ----------
    method
        ``"breslow"`` or ``"efron"``.
    stratum
        Stratum code of each step, ascending, shape (J,).
    time
        Death times, ascending in each stratum, shape (J,).
    cumulative
        From each time on, shape (J,).
    """

    method: Ties
    stratum: Ints
    time: Floats
    cumulative: Floats


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


def breslow_baseline(
    risk_sets: RiskSets, beta: npt.ArrayLike, at: npt.ArrayLike | None = None
) -> BaselineHazard:
    """Breslow's cumulative hazard, deaths over S0 (what lifelines reports).

    Parameters
    ----------
    risk_sets
        Of the patients that the baseline describes.
    beta
        Coefficients, shape (p,).
    at
        Covariates of the baseline patient, shape (p,); None: all 0. lifelines uses
        the means.

    Raises
    ------
    InputError
        If ``beta`` does not fit the risk sets.
    """
    return _baseline(risk_sets, beta, "breslow", at)


def efron_baseline(
    risk_sets: RiskSets, beta: npt.ArrayLike, at: npt.ArrayLike | None = None
) -> BaselineHazard:
    """Efron's cumulative hazard, the one that fits Efron's likelihood.

    Parameters
    ----------
    risk_sets, beta, at
        As for `breslow_baseline`.

    Raises
    ------
    InputError
        If ``beta`` does not fit the risk sets.
    """
    return _baseline(risk_sets, beta, "efron", at)


def _baseline(
    risk_sets: RiskSets,
    beta: npt.ArrayLike,
    method: Ties,
    at: npt.ArrayLike | None,
) -> BaselineHazard:
    steps = risk_sets.baseline_increments(beta, method, at)
    stratum = risk_sets.death_strata
    cumulative = np.empty_like(steps)
    for code in np.unique(stratum):
        here = stratum == code
        cumulative[here] = np.cumsum(steps[here])
    return BaselineHazard(method, stratum, risk_sets.death_time, cumulative)

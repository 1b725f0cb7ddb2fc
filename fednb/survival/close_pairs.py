"""Pairs that leave in one interval: a joint histogram does not tell their order.

Across sites they are counted by the histogram and credited at the rate of such pairs
within sites, where times are known: two deaths apart from a death and a censoring.
Within sites the grid is laid out in several phases, since what is close depends on
nothing but the width of an interval; more pairs make a steadier rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.survival.concordance import concordance_counts

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

PHASES: Final = 4
"""Positions of the grid, each a quarter of an interval further."""

CLOSE_SUMS: Final = 8
"""Pairs across sites by kind; within sites in order, comparable and all, by kind."""


def close_kernel(first: Floats, second: Floats) -> Floats:
    """Return pairs of one interval from two tables, shape (2,).

    Parameters
    ----------
    first, second
        By event, interval and bin, as `fednb.survival.pooled_concordance.joint_table`.

    Returns
    -------
    numpy.ndarray
        Pairs of two deaths, half from either side; pairs of a death and a censoring.
    """
    deaths, others = first[1].sum(axis=1), second.sum(axis=2)
    return np.array([0.5 * float(deaths @ others[1]), float(deaths @ others[0])])


def close_pairs(
    time: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, grid: Floats
) -> Floats:
    """Sum one site's pairs of one interval over all phases of the grid.

    Parameters
    ----------
    time, event, risk
        As for `fednb.survival.concordance.concordance_counts`, shape (n,).
    grid
        Ends of the intervals, ascending, shape (m,).

    Returns
    -------
    numpy.ndarray
        In order (ties of risk half), comparable, and all pairs: of two deaths, then of
        a death and a censoring; shape (6,).

    Raises
    ------
    InputError
        As there.
    """
    times, died = np.asarray(time, dtype=np.float64), np.asarray(event) == 1
    risks = np.asarray(risk, dtype=np.float64)
    starts = np.concatenate([[0.0], grid[:-1]])
    found = np.zeros((2, 3))
    for phase in range(PHASES):
        edges = starts + (grid - starts) * (1 - phase / PHASES)
        interval = np.searchsorted(np.append(edges, grid[-1]), times, side="left")
        every = _inside(times, died, risks, interval)
        deaths = _inside(times[died], died[died], risks[died], interval[died])
        here = np.bincount(interval[died], minlength=grid.size + 2).astype(np.float64)
        rest = np.bincount(interval[~died], minlength=grid.size + 2)
        found[0] += [*deaths, float(here @ (here - 1)) / 2]
        found[1] += [*(every - deaths), float(here @ rest)]
    return found.ravel()


def apart_bin_pairs(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    bins: Ints,
    interval: Ints,
) -> Floats:
    """Sum one site's pairs of one bin and two intervals; shape (2,).

    Parameters
    ----------
    time, event, risk
        As for `close_pairs`.
    bins, interval
        Of each patient, shape (n,).

    Returns
    -------
    numpy.ndarray
        In order (ties of risk half), and comparable.

    Raises
    ------
    InputError
        As there.
    """
    cells = bins * (int(interval.max(initial=0)) + 1) + interval
    together = _inside(time, event, risk, cells)
    return _inside(time, event, risk, bins) - together


def credited(close: Floats) -> tuple[float, float]:
    """Return pairs across sites that are in order, and comparable ones.

    Parameters
    ----------
    close
        Of `close_kernel` across sites, then sums of `close_pairs`, shape (8,).
    """
    across, within = close[:2], close[2:].reshape(2, 3)
    agreeing = comparable = 0.0
    for pairs, (ordered, known, every) in zip(across, within, strict=True):
        # without such a pair within a site nothing is known of those across sites
        share = pairs / every if every > 0 else 0.0
        agreeing += float(share * ordered)
        comparable += float(share * known)
    return agreeing, comparable


def _inside(
    time: npt.ArrayLike, event: npt.ArrayLike, risk: npt.ArrayLike, strata: Ints
) -> Floats:
    counts = concordance_counts(time, event, risk, strata)
    return np.array([counts.concordant + 0.5 * counts.tied, float(counts.comparable)])

"""Uno's C: pairs weighted by the inverse square of the censoring curve.

Uno, Cai, Pencina, D'Agostino and Wei, Statistics in Medicine 30:1105 (2011). Unlike
Harrell's, it does not depend on how patients are censored. A sum of squares of weights
would let one late death rule, so the grid's last time is its horizon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.survival.pairs import PairSums, survival_pairs

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.censoring import GridCurves
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


def uno_weights(curves: GridCurves) -> Floats:
    """Return the weight of a pair by the interval of its first death, shape (m + 1,).

    Parameters
    ----------
    curves
        Of all patients over all sites.
    """
    return curves.death_weight**2


def uno_pairs(
    interval: Ints, event: npt.ArrayLike, risk: npt.ArrayLike, curves: GridCurves
) -> PairSums:
    """Sum one site's pairs for Uno's C.

    Parameters
    ----------
    interval
        Of each exit, shape (n,).
    event
        1 for a death, shape (n,).
    risk
        Higher for an earlier death, shape (n,).
    curves
        Of all patients over all sites.

    Raises
    ------
    InputError
        As for `fednb.survival.pairs.survival_pairs`.
    """
    return survival_pairs(interval, event, risk, uno_weights(curves)[interval])

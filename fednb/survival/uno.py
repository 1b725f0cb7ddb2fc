"""Uno's C: pairs weighted by the inverse square of the censoring curve.

Uno, Cai, Pencina, D'Agostino and Wei, Statistics in Medicine 30:1105 (2011). Unlike
Harrell's, it does not depend on how patients are censored. A sum of squares of weights
would let one late death rule, so only a well-followed horizon counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.survival.pairs import PairSums, survival_pairs

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.censoring import GridCurves
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


def uno_weights(curves: GridCurves, horizon: int) -> Floats:
    """Return the weight of a pair by the interval of its first death, shape (m + 1,).

    Parameters
    ----------
    curves
        Of all patients over all sites.
    horizon
        Intervals that count; pairs of a later first death do not.
    """
    weight = curves.death_weight**2
    weight[horizon:] = 0.0
    return weight


def uno_pairs(
    interval: Ints, event: npt.ArrayLike, risk: npt.ArrayLike, weight: Floats
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
    weight
        From `uno_weights`.

    Raises
    ------
    InputError
        As for `fednb.survival.pairs.survival_pairs`.
    """
    return survival_pairs(interval, event, risk, weight[interval])

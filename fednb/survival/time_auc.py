"""Time-dependent AUC: who has died by t against who lives beyond t.

Cumulative cases and dynamic controls with inverse-probability weights: Uno, Cai, Tian
and Wei, JASA 102:527 (2007); Hung and Chiang, Canadian Journal of Statistics 38:8
(2010). The weights of controls are equal and cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.censoring import GridCurves
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


def auc_weights(
    at: int, interval: Ints, event: npt.ArrayLike, curves: GridCurves
) -> tuple[Floats, Floats]:
    """Return each patient's weight as a case and as a control at one grid time.

    Parameters
    ----------
    at
        Number of the grid time.
    interval, event
        Of each patient, shape (n,).
    curves
        Of all patients over all sites.
    """
    died = (interval <= at) & (np.asarray(event) == 1)
    case = np.where(died, curves.death_weight[interval], 0.0)
    return case, (interval > at).astype(np.float64)


def mean_auc(auc: Floats, survival: Floats) -> float:
    """Return the mean of AUCs over time, weighted by who dies between the times.

    Lambert and Chevret, Statistical Methods in Medical Research 25:2088 (2016).

    Parameters
    ----------
    auc
        At ascending times, shape (e,).
    survival
        Kaplan-Meier's at these times, shape (e,).

    Returns
    -------
    float
        NaN where nobody dies by the last time.
    """
    drop = -np.diff(np.concatenate([[1.0], survival]))
    total = float(drop.sum())
    return float((auc * drop).sum() / total) if total > 0 else float("nan")

"""Decision curve: what a model is worth to somebody who acts on its predictions.

Vickers and Elkin, Medical Decision Making 26:565 (2006): at a threshold p a false
positive costs p / (1 - p) of what a true positive gains.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats


def threshold_cells(
    probability: npt.ArrayLike, label: npt.ArrayLike, thresholds: npt.ArrayLike
) -> Floats:
    """Count one site's patients by class and cell between thresholds.

    Parameters
    ----------
    probability
        Predicted, shape (n,).
    label
        0 or 1, shape (n,).
    thresholds
        Ascending within (0, 1), shape (t,).

    Returns
    -------
    numpy.ndarray
        Row 0 negatives, row 1 positives; cell j lies from threshold j - 1 up to
        threshold j, shape (2, t + 1).
    """
    edges = np.asarray(thresholds, dtype=np.float64)
    cell = np.searchsorted(edges, np.asarray(probability), side="right")
    found = np.zeros((2, edges.size + 1))
    np.add.at(found, (np.asarray(label).astype(np.intp), cell), 1.0)
    return found


def cells_between(
    by_bin: Floats, thresholds: npt.ArrayLike, mean: float, std: float
) -> Floats:
    """Read counts between thresholds off counts by bin of the linear predictor.

    Parameters
    ----------
    by_bin
        Negatives and positives by bin, shape (2, b): equal shares of a normal curve,
        within which patients are taken to be spread evenly.
    thresholds
        As for `threshold_cells`.
    mean, std
        Of the linear predictor over all sites: where the bins lie.

    Returns
    -------
    numpy.ndarray
        As from `threshold_cells`, shape (2, t + 1).
    """
    edges = np.asarray(thresholds, dtype=np.float64)
    at = [NormalDist(mean, std).cdf(score) for score in np.log(edges / (1 - edges))]
    shares = np.linspace(0.0, 1.0, by_bin.shape[1] + 1)
    below = np.concatenate([np.zeros((2, 1)), by_bin.cumsum(axis=1)], axis=1)
    inner = [np.interp(at, shares, row) for row in below]
    whole = np.column_stack([np.zeros(2), np.array(inner), below[:, -1]])
    return np.asarray(np.diff(whole, axis=1))


def net_benefit(cells: Floats, thresholds: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the net benefit of the model and of treating everybody, per patient.

    Parameters
    ----------
    cells
        Sum of `threshold_cells` over sites.
    thresholds
        As there.

    Returns
    -------
    model, everybody
        Shape (t,) each; that of treating nobody is 0. NaN without patients.
    """
    edges = np.asarray(thresholds, dtype=np.float64)
    n = float(cells.sum())
    if n <= 0:
        return np.full(edges.size, np.nan), np.full(edges.size, np.nan)
    # at or above the threshold counts as positive
    false, true = (row[::-1].cumsum()[::-1][1:] / n for row in cells)
    odds = edges / (1.0 - edges)
    share = float(cells[1].sum()) / n
    return true - odds * false, share - odds * (1.0 - share)

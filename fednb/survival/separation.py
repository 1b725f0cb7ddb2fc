"""Signs that a likelihood has no maximum (separation, monotone likelihood).

Under separation each Newton step is about as long as the one before, while the
information along it decays: the likelihood rises for ever (Albert and Anderson 1984;
Bryson and Johnson 1981 for Cox).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.cholesky import Factor
    from fednb.survival.sums import Floats


def share_left(
    step: Floats, previous: Floats, initial: Floats, information: Floats
) -> float:
    """Information left along the columns whose steps do not shrink; 1 without any.

    Parameters
    ----------
    step, previous
        The next full Newton step and the one before, shape (p,).
    initial, information
        Penalised information at the starting value and now, shape (p, p).

    Returns
    -------
    float
        A share of the initial information; near 0 under separation. A step counts as
        long where it is at least half the one before and half a standard error at the
        starting value, so that the noise of rounded sums does not.
    """
    size = np.abs(step)
    growing = (size >= 0.5 * np.abs(previous)) & (
        size * np.sqrt(np.diagonal(initial)) >= 0.5
    )
    if not growing.any():
        return 1.0
    along = np.where(growing, step, 0.0)
    square = along[:, None] * along
    left = math.fsum((information * square).ravel().tolist())
    return left / math.fsum((initial * square).ravel().tolist())


def lost_columns(
    factor: Factor, initial: Floats, information: Floats, floor: float
) -> npt.NDArray[np.bool_]:
    """Columns whose information has sunk into the rounding since the start.

    Rounding can turn the last of a diverging score into 0, which looks like a maximum.

    Parameters
    ----------
    factor
        Of ``information``.
    initial, information
        As for `share_left`.
    floor
        Information, given the other columns, that rounding cannot tell from none.

    Returns
    -------
    numpy.ndarray
        Shape (p,).
    """
    alone = 1.0 / np.diagonal(factor.inverse())
    share = np.diagonal(information) / np.diagonal(initial)
    return np.asarray((alone <= floor) & (share < 0.1))

"""The linear predictor of rows: the same of equal rows, to the last bit.

A product of matrices sums a row in an order that depends on where the row lies, and on
where its memory begins: equal rows come out unequal now and then, and pairs that are
tied do not count as tied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

DECIMALS = 12


def linear(x: Floats, beta: Floats) -> Floats:
    """Return ``x @ beta`` to 12 decimals, summed a column after the other.

    So rows that differ and have the same predictor, such as .8 of a half and .4 of a
    one, tie as well: scikit-survival tells scores apart from 1e-8 on.

    Parameters
    ----------
    x
        Shape (n, p).
    beta
        Shape (p,).

    Returns
    -------
    numpy.ndarray
        Shape (n,).
    """
    found = np.zeros(len(x))
    for column, b in zip(x.T, beta.tolist(), strict=True):
        found += column * b
    return np.round(found, DECIMALS)

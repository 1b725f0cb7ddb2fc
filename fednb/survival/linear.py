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


def linear(x: Floats, beta: Floats) -> Floats:
    """Return ``x @ beta``, summed a column after the other in every row.

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
    return found

"""Robust (sandwich) covariance of an estimate, from sums of outer products.

Source: Lin and Wei 1989, as lifelines' ``robust=True`` and R's ``coxph(robust=TRUE)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from fednb.survival.sums import Floats


def meat_vector(residuals: Floats, step: float = 0.0) -> Floats:
    """Return one site's sum of outer products, laid out for the secure sum.

    Parameters
    ----------
    residuals
        Score residuals, a row a patient, shape (n, p).
    step
        Rounding step (disclosure rule 20), at least 0; 0 for none.

    Returns
    -------
    numpy.ndarray
        Upper triangle row by row, shape (p (p + 1) / 2,).
    """
    p = residuals.shape[1]
    vector = (residuals.T @ residuals)[np.triu_indices(p)]
    return vector if step == 0 else np.rint(vector / step) * step + 0.0


def sandwich(bread: Floats, meat: Floats) -> Floats:
    """Return the robust covariance, shape (p, p).

    Parameters
    ----------
    bread
        (I + lambda)^-1, shape (p, p).
    meat
        Total over all sites as `meat_vector` lays it out.

    Raises
    ------
    InputError
        The length does not fit.
    """
    p = len(bread)
    if meat.shape != (p * (p + 1) // 2,):
        message = f"Outer products of shape {meat.shape} do not fit {p} columns."
        raise InputError(message)
    upper = np.zeros((p, p))
    upper[np.triu_indices(p)] = meat
    middle = upper + np.triu(upper, 1).T
    found = bread @ middle @ bread
    return np.asarray(0.5 * (found + found.T))

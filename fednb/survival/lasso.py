"""The step of a proximal Newton fit: an elastic net without smoothing.

Where a likelihood is penalised by l1 |b|, each step minimises the Newton model plus the
penalty itself: coordinate descent finds which coefficients are 0, and one solve over
the others finishes it. lifelines replaces |b| by a smooth function that sharpens as it
iterates; both meet where that has become sharp.

Sources: Tibshirani 1997 (lasso for Cox); Lee, Sun and Saunders 2014 (proximal Newton).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fednb.survival.cholesky import factorise

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

SWEEPS = 2000
CLOSE = 1e-10
"""Largest last move of coordinate descent, in standard errors."""


def proximal_step(
    information: Floats, gradient: Floats, beta: Floats, lasso: Floats
) -> Floats:
    """Return the step from ``beta`` to the minimum of the penalised Newton model.

    Every operation is a single IEEE one in a fixed order, as in
    `fednb.survival.cholesky`, so that every machine finds the same bits.

    Parameters
    ----------
    information
        Of the likelihood and its ridge, positive definite, shape (p, p).
    gradient
        Of the likelihood less its ridge at ``beta``, shape (p,).
    beta
        Coefficients, shape (p,).
    lasso
        l1 >= 0 of each, shape (p,).

    Returns
    -------
    numpy.ndarray
        Shape (p,); ``beta`` plus the step is exactly 0 where the penalty holds it.
    """
    diagonal = np.diagonal(information)
    point, slope = beta.copy(), gradient.copy()
    for _ in range(SWEEPS):
        largest = 0.0
        for j in range(beta.size):
            curve = float(diagonal[j])
            wanted = _soft(float(slope[j]) + curve * float(point[j]), float(lasso[j]))
            move = wanted / curve - float(point[j])
            if move:
                point[j] = wanted / curve
                slope -= information[:, j] * move
                largest = max(largest, abs(move) * math.sqrt(curve))
        if largest <= CLOSE:
            break
    point = _polish(information, gradient, beta, lasso, point)
    return np.asarray(point - beta)


def _soft(value: float, threshold: float) -> float:
    return math.copysign(max(abs(value) - threshold, 0.0), value)


def _polish(
    information: Floats, gradient: Floats, beta: Floats, lasso: Floats, point: Floats
) -> Floats:
    """Solve for the coefficients that are not 0, if that changes no sign."""
    free = np.flatnonzero((point != 0) | (lasso == 0))
    held = np.flatnonzero((point == 0) & (lasso > 0))
    block = information[np.ix_(free, free)]
    factor = factorise(block) if free.size else None
    if factor is None:
        return point
    right = gradient[free] - lasso[free] * np.sign(point[free])
    for k in held:
        right = right + information[free, k] * beta[k]
    solved = np.zeros_like(point)
    solved[free] = beta[free] + factor.solve(right)
    same = np.sign(solved[free]) == np.sign(point[free])
    return solved if (same | (lasso[free] == 0)).all() else point

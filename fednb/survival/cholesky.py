"""Cholesky factor whose every bit is the same on every machine.

A site re-derives the coordinator's Newton step (disclosure rule 19). LAPACK and BLAS
reorder and fuse operations by processor, so their last bits differ between machines;
here each element goes through single IEEE operations in a fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

SMALLEST_PIVOT = 1e-10
"""A column with a smaller unexplained share of its information is collinear."""


def dot(a: Floats, b: Floats) -> float:
    """Inner product with one rounding, independent of the order of summation.

    Parameters
    ----------
    a, b
        Shape (p,).
    """
    return math.fsum((a * b).tolist())


@dataclass(frozen=True, eq=False)
class Factor:
    """Cholesky factor of a symmetric positive definite matrix.

    Parameters
    ----------
    lower
        Lower triangle of the matrix scaled to a unit diagonal, shape (p, p).
    scale
        Square roots of the matrix's diagonal, shape (p,).
    """

    lower: Floats
    scale: Floats

    def solve(self, right: Floats) -> Floats:
        """Solve ``matrix @ x = right``.

        Parameters
        ----------
        right
            Shape (p,) or (p, m).
        """
        flat = right.ndim == 1
        x = (right[:, None] if flat else right) / self.scale[:, None]
        p = self.scale.size
        for k in range(p):
            x[k] /= self.lower[k, k]
            x[k + 1 :] -= self.lower[k + 1 :, k, None] * x[k]
        for k in range(p - 1, -1, -1):
            x[k] /= self.lower[k, k]
            x[:k] -= self.lower[k, :k, None] * x[k]
        x /= self.scale[:, None]
        return x[:, 0] if flat else x

    def inverse(self) -> Floats:
        """Invert the matrix; exactly symmetric, shape (p, p)."""
        inverse = self.solve(np.eye(self.scale.size))
        return 0.5 * (inverse + inverse.T)


def factorise(matrix: Floats, floor: float = 0.0) -> Factor | None:
    """Factorise, or say that the matrix is not safely positive definite.

    Parameters
    ----------
    matrix
        Symmetric, finite, shape (p, p).
    floor
        Smallest pivot accepted, in the units of the matrix.

    Returns
    -------
    Factor or None
        None where a pivot is at most ``floor`` or, relative to its diagonal element,
        below `SMALLEST_PIVOT`.
    """
    diagonal = np.diagonal(matrix)
    if not (diagonal > 0).all():
        return None
    scale = np.sqrt(diagonal)
    rest = matrix / scale[:, None] / scale
    lower = np.zeros_like(rest)
    for k in range(scale.size):
        pivot = float(rest[k, k])
        if pivot < SMALLEST_PIVOT or pivot * float(diagonal[k]) <= floor:
            return None
        lower[k:, k] = rest[k:, k] / math.sqrt(pivot)
        column = lower[k + 1 :, k]
        rest[k + 1 :, k + 1 :] -= column[:, None] * column
    return Factor(lower, scale)


def dependent_columns(matrix: Floats) -> list[int]:
    """Find the columns behind a (nearly) singular information matrix.

    Parameters
    ----------
    matrix
        Symmetric, finite, shape (p, p), not safely positive definite.

    Returns
    -------
    list of int
        Columns without information; failing these, the columns of the linear
        combinations that have none.
    """
    diagonal = np.diagonal(matrix)
    empty = np.flatnonzero(diagonal <= 1e-12 * max(float(diagonal.max()), 0.0))
    if empty.size:
        return [int(j) for j in empty]
    scale = np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(matrix / scale[:, None] / scale)
    null = np.abs(vectors[:, values <= max(10 * SMALLEST_PIVOT, float(values[0]))])
    return [int(j) for j in np.flatnonzero(null.max(axis=1) > 0.05)]

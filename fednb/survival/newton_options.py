"""What the contract fixes about an iterative fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

FIXED_POINT: Final = 1e-6
"""Largest step of sums that pass for exact."""


@dataclass(frozen=True)
class NewtonOptions:
    """What the contract fixes about an iterative fit.

    Parameters
    ----------
    ridge
        lambda >= 0, added to the diagonal of the information; a tuple gives one a
        column, so that an intercept can go unpenalised.
    tolerance
        Largest last step, in standard errors of the estimate (square root of the
        Newton decrement), > 0.
    max_evaluations
        Evaluations of the sums before the fit is refused, at least 2.
    precision
        Rounding step of each site's sums, >= 0; the fit stops where the next step is
        lost in the rounding.
    parts
        Number of rounded parts in each sum (sites), at least 1.
    lasso
        l1 >= 0, whose product with ``|b|`` is taken off the log-likelihood; a tuple
        gives one a column.

    Raises
    ------
    InputError
        If a value is outside its range.
    """

    ridge: float | tuple[float, ...] = 0.0
    tolerance: float = 1e-9
    max_evaluations: int = 12
    precision: float = 0.0
    parts: int = 1
    lasso: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        checks = {
            "ridge": _in_range(self.ridge),
            "lasso": _in_range(self.lasso),
            "tolerance": self.tolerance > 0,
            "max_evaluations": self.max_evaluations >= 2,
            "precision": 0 <= self.precision < math.inf,
            "parts": self.parts >= 1,
        }
        for name, holds in checks.items():
            if not holds:
                message = f"{name}={getattr(self, name)} is outside its range."
                raise InputError(message)

    @property
    def rounds(self) -> bool:
        """Whether sums are rounded by more than a fixed-point ring does."""
        return self.precision > FIXED_POINT

    def noise(self, p: int) -> float:
        """Spectral norm of what rounding adds to the information of p columns."""
        return self.precision * math.sqrt(self.parts * p / 3)

    def floor(self, p: int) -> float:
        """Information of its own by which a column is told from one without any.

        What rounding makes of none at all goes beyond its norm now and then.
        """
        return 2 * self.noise(p)

    def penalty(self, p: int) -> Floats:
        """Lambda of each column, shape (p,).

        Parameters
        ----------
        p
            Number of columns.

        Raises
        ------
        InputError
            If ``ridge`` is a tuple of another length.
        """
        return _spread("ridge", self.ridge, p)

    def shrinkage(self, p: int) -> Floats:
        """l1 of each column, shape (p,).

        Parameters
        ----------
        p
            Number of columns.

        Raises
        ------
        InputError
            If ``lasso`` is a tuple of another length.
        """
        return _spread("lasso", self.lasso, p)


def _in_range(penalties: float | tuple[float, ...]) -> bool:
    values = np.atleast_1d(np.asarray(penalties, dtype=np.float64))
    return bool(np.isfinite(values).all() and (values >= 0).all())


def _spread(name: str, penalties: float | tuple[float, ...], p: int) -> Floats:
    values = np.asarray(penalties, dtype=np.float64)
    if values.ndim and values.shape != (p,):
        message = f"{values.size} {name} penalties were given for {p} columns."
        raise InputError(message)
    return np.broadcast_to(values, (p,)).copy()

"""The table of a fit: Wald tests and intervals under lifelines' column names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class WaldTable:
    """Coefficients with their tests.

    Parameters
    ----------
    names
        Rows.
    level
        Confidence level of the intervals, between 0 and 1.
    columns
        Columns of ``lifelines.CoxPHFitter.summary`` in its order, each of shape (p,).
    """

    names: tuple[str, ...]
    level: float
    columns: Mapping[str, Floats]


def wald_table(
    names: Sequence[str],
    coefficients: npt.ArrayLike,
    covariance: npt.ArrayLike,
    level: float = 0.95,
) -> WaldTable:
    """Test each coefficient against 0.

    Parameters
    ----------
    names
        Columns of the design, p of them.
    coefficients
        Shape (p,).
    covariance
        Shape (p, p), with a positive diagonal, but for coefficients of 0 that an l1
        penalty holds: they may have no variance, and get z = 0 and p = 1.
    level
        Confidence level, between 0 and 1.

    Returns
    -------
    WaldTable
        Two-sided p values from the normal distribution.

    Raises
    ------
    InputError
        If shapes do not fit, a variance is not positive, or the level is outside
        (0, 1).
    """
    coef = np.asarray(coefficients, dtype=np.float64)
    variance = np.asarray(covariance, dtype=np.float64)
    p = len(names)
    if coef.shape != (p,) or variance.shape != (p, p):
        message = (
            f"{p} names do not fit coefficients of shape {coef.shape} and a covariance "
            f"of shape {variance.shape}."
        )
        raise InputError(message)
    if not 0 < level < 1:
        message = f"The confidence level is {level}; it must be between 0 and 1."
        raise InputError(message)
    diagonal = np.diagonal(variance)
    held = (diagonal == 0) & (coef == 0)
    if not ((diagonal > 0) | held).all():
        message = "A coefficient has no positive variance; refit before testing."
        raise InputError(message)
    error = np.sqrt(diagonal)
    half = NormalDist().inv_cdf(0.5 + level / 2) * error
    z = np.divide(coef, error, out=np.zeros(p), where=~held)
    chance = np.array([math.erfc(abs(value) / math.sqrt(2)) for value in z])
    # past |z| = 38 the p value underflows to 0; the smallest number bounds its surprise
    surprise = -np.log2(np.maximum(chance, math.ulp(0.0)))
    label = f"{100 * level:g}%"
    columns = {
        "coef": coef,
        "exp(coef)": np.exp(coef),
        "se(coef)": error,
        f"coef lower {label}": coef - half,
        f"coef upper {label}": coef + half,
        f"exp(coef) lower {label}": np.exp(coef - half),
        f"exp(coef) upper {label}": np.exp(coef + half),
        "cmp to": np.zeros(p),
        "z": z,
        "p": chance,
        "-log2(p)": surprise,
    }
    return WaldTable(tuple(names), level, columns)

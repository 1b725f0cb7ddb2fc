"""The tail of the chi-squared distribution."""

from __future__ import annotations

import math

from fednb.errors import InputError


def chi_squared_tail(statistic: float, degrees_freedom: int) -> float:
    """Return the chance of a value above `statistic`.

    Parameters
    ----------
    statistic
        At least 0.
    degrees_freedom
        Whole, at least 0; with 0 the chance is 1.

    Raises
    ------
    InputError
        Either is negative or the statistic is not a number.

    Notes
    -----
    Abramowitz and Stegun 1964, formulas 26.4.4 and 26.4.5: a finite sum for whole
    degrees of freedom.
    """
    if not statistic >= 0 or degrees_freedom < 0:
        message = (
            f"A chi-squared value and its degrees of freedom are at least 0; got "
            f"{statistic} and {degrees_freedom}."
        )
        raise InputError(message)
    if degrees_freedom == 0:
        return 1.0
    half = statistic / 2
    odd = degrees_freedom % 2
    chance = math.erfc(math.sqrt(half)) if odd else 0.0
    # the terms half^k e^-half / Gamma(k + 1), for k from 0 or 1/2 in steps of 1
    k = 0.5 if odd else 0.0
    term = math.exp(-half) * half**k / math.gamma(k + 1)
    while k < degrees_freedom / 2 - 0.25:
        chance += term
        k += 1
        term *= half / k
    return min(chance, 1.0)

"""The score test of proportional hazards, from sums.

A covariate whose effect changes with time has the log hazard ``x (b + th g(t))``. With
g known, U_th = sum over deaths of g(t) times the Schoenfeld residual, and

    (U_th - I_thb I_bb^-1 U_b)' (I_thth - I_thb I_bb^-1 I_bth)^-1 (same) ~ chi2_p,

where I_bb, I_thb and I_thth are sums over deaths of V(t) times 1, g and g^2, and V is
the covariance of x in the risk set. All are sums over patients and strata: sites add
up, and the test stratified by site needs nothing else. U_b is 0 at an exact maximum;
it is carried because rounded and penalised fits stop beside it.

A Cox result calls `ph_test` on the pooled `PhSums`. A site calls `ph_sums` on its rows
in the units of the fit (standardised columns, the coefficients of the last verified
evaluation, the transform that the contract names), rounds the vector as the other
totals of a fit (disclosure rule 20), and lets ``sums.to_vector()`` leave through the
secure sum.

Sources: Grambsch and Therneau 1994; Therneau 2020 (``cox.zph`` of R's survival 3.x is
this test).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.chisquared import chi_squared_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from fednb.survival.riskset import Ties
    from fednb.survival.rows import Ints, Rows
    from fednb.survival.sums import Floats

Transform = Literal["identity", "log"]

TRANSFORMS: Final[dict[str, Callable[[Floats], Floats]]] = {
    "identity": lambda t: t,
    "log": np.log1p,
}
"""Functions g of time that are the same at every site; ``log`` is of 1 + t.

R's ``km`` and ``rank`` depend on everybody's times: no site can compute them alone.
"""


@dataclass(frozen=True, eq=False)
class PhSums:
    """What the test is made of; sums of disjoint strata add up.

    Parameters
    ----------
    score, score_time
        U_b and U_th, shape (p,).
    information, cross, information_time
        I_bb, I_thb and I_thth, symmetric, shape (p, p).
    """

    score: Floats
    score_time: Floats
    information: Floats
    cross: Floats
    information_time: Floats

    def __add__(self, other: PhSums) -> PhSums:
        return PhSums(
            self.score + other.score,
            self.score_time + other.score_time,
            self.information + other.information,
            self.cross + other.cross,
            self.information_time + other.information_time,
        )

    def to_vector(self) -> Floats:
        """Return both scores, then the upper triangles row by row."""
        upper = np.triu_indices(self.score.size)
        matrices = (self.information, self.cross, self.information_time)
        parts = [self.score, self.score_time, *(m[upper] for m in matrices)]
        return np.concatenate(parts)

    @classmethod
    def from_vector(cls, vector: Floats, p: int) -> Self:
        """Read the layout of `to_vector`, of `ph_size` numbers.

        Raises
        ------
        InputError
            The length does not fit ``p`` columns.
        """
        if vector.shape != (ph_size(p),):
            message = (
                f"A vector of shape {vector.shape} does not hold the test of {p} "
                f"columns: {ph_size(p)} numbers are expected."
            )
            raise InputError(message)
        score, later, *rest = np.split(
            vector, np.cumsum([p, p, *[p * (p + 1) // 2] * 2])
        )
        return cls(score, later, *(_symmetric(part, p) for part in rest))


@dataclass(frozen=True, eq=False)
class PhTest:
    """Whether effects change with time.

    Attributes
    ----------
    names
        Columns.
    test_statistic, p_value
        Of each column by itself (1 degree of freedom), shape (p,).
    global_statistic, global_p_value
        Of all together.
    degrees_freedom
        Of the global test.
    """

    names: tuple[str, ...]
    test_statistic: Floats
    p_value: Floats
    global_statistic: float
    global_p_value: float
    degrees_freedom: int


def ph_size(p: int) -> int:
    """Return the length of ``PhSums.to_vector()`` for p columns."""
    return 2 * p + 3 * p * (p + 1) // 2


def ph_sums(
    x: npt.ArrayLike,
    rows: Rows,
    beta: npt.ArrayLike,
    *,
    transform: Transform = "identity",
    ties: Ties = "efron",
) -> PhSums:
    """Return one site's sums.

    Parameters
    ----------
    x
        Covariates in the units of ``beta``, shape (n, p).
    rows
        Times, events, entries, weights and strata, from
        `fednb.survival.rows.check_rows`.
    beta
        Coefficients of the fit, shape (p,).
    transform
        Which g(t), see `TRANSFORMS`.
    ties
        As in the fit.

    Raises
    ------
    InputError
        Shapes do not fit, a value is not finite, or the transform is unknown.
    """
    values = np.asarray(x, dtype=np.float64)
    b = np.asarray(beta, dtype=np.float64)
    n = rows.time.size
    wrong = values.ndim != 2 or values.shape != (n, b.size)
    if wrong or not np.isfinite(values).all() or not np.isfinite(b).all():
        message = (
            f"Covariates of shape {values.shape} and coefficients of shape {b.shape} "
            f"do not fit {n} patients, or hold what is not finite."
        )
        raise InputError(message)
    if transform not in TRANSFORMS or ties not in {"efron", "breslow"}:
        message = (
            f"The transform is one of {', '.join(TRANSFORMS)} and ties are 'efron' or "
            f"'breslow'; got {transform!r} and {ties!r}."
        )
        raise InputError(message)
    p = b.size
    total = PhSums.from_vector(np.zeros(ph_size(p)), p)
    for stratum in np.unique(rows.strata):
        here = np.flatnonzero(rows.strata == stratum)
        part = rows.take(here)
        if part.event.any():
            total += _stratum(values[here], part, b, TRANSFORMS[transform], ties)
    return total


def ph_test(sums: PhSums, names: Sequence[str]) -> PhTest:
    """Test whether effects change with time.

    Parameters
    ----------
    sums
        Over all sites.
    names
        Columns, p of them.

    Raises
    ------
    FitError
        The information is singular: a column is a combination of others, or there are
        fewer death times than columns.
    """
    labels = tuple(names)
    p = len(labels)
    try:
        weights = np.linalg.solve(sums.information, sums.cross)
        score = sums.score_time - weights.T @ sums.score
        spread = sums.information_time - sums.cross @ weights
        every = float(score @ np.linalg.solve(spread, score))
    except np.linalg.LinAlgError as error:
        raise FitError(_singular(labels)) from error
    single = np.empty(p)
    for k in range(p):
        # the model with this column's change alone
        own = float(sums.information_time[k, k] - sums.cross[k] @ weights[:, k])
        if not own > 0:
            raise FitError(_singular(labels[k : k + 1]))
        single[k] = score[k] ** 2 / own
    if not math.isfinite(every):
        raise FitError(_singular(labels))
    every = max(every, 0.0)
    chances = np.array([chi_squared_tail(value, 1) for value in single.tolist()])
    return PhTest(labels, single, chances, every, chi_squared_tail(every, p), p)


def _singular(names: Sequence[str]) -> str:
    return (
        f"Proportional hazards of {', '.join(map(repr, names))} cannot be tested: the "
        "deaths lie at too few times, or a column follows from the others."
    )


def _symmetric(upper: Floats, p: int) -> Floats:
    found = np.zeros((p, p))
    found[np.triu_indices(p)] = upper
    return found + np.triu(found, 1).T


def _stratum(
    x: Floats, rows: Rows, b: Floats, g: Callable[[Floats], Floats], ties: Ties
) -> PhSums:
    """Return the sums of one stratum with deaths."""
    times, where = np.unique(rows.time[rows.event], return_inverse=True)
    draws = _Draws(rows, times, where, ties)
    # the risk-set covariance does not move with the origin, rounding does
    x = x - x.mean(axis=0)
    eta = x @ b
    hazard = rows.weights * np.exp(eta - eta.max())
    mean = draws.means(x, hazard)
    weight = g(times)
    died = rows.weights[rows.event][:, None] * x[rows.event]
    residual = np.zeros((times.size, b.size))
    np.add.at(residual, where, died)
    np.add.at(residual, where, -draws.weight[:, None] * mean)
    p = b.size
    moments = np.zeros((3, p, p))
    powers = np.stack([np.ones_like(weight), weight, weight**2])[:, where]
    powers *= draws.weight
    for i in range(p):
        for j in range(i, p):
            second = draws.average(x[:, i] * x[:, j] * hazard, hazard)
            spread = second - mean[:, i] * mean[:, j]
            moments[:, i, j] = moments[:, j, i] = powers @ spread
    return PhSums(residual.sum(axis=0), weight @ residual, *moments)


class _Draws:
    """The draws l = 0 .. d - 1 of each death time, one a death, in table order.

    Attributes
    ----------
    weight
        Case weight of each: the mean of the deaths at its time, shape (events,).
    """

    def __init__(self, rows: Rows, times: Floats, where: Ints, ties: Ties) -> None:
        self._event = rows.event
        self._where = where
        self._last = np.searchsorted(times, rows.time, side="right")
        self._first = None
        if rows.entry is not None:
            self._first = np.searchsorted(times, rows.entry, side="right")
        self._size = times.size
        count = np.bincount(where, minlength=times.size)
        total = np.bincount(where, rows.weights[rows.event], minlength=times.size)
        self.weight = (total / count)[where]
        order = np.argsort(where, kind="stable")
        place = np.empty(where.size)
        place[order] = np.arange(where.size) - np.repeat(
            np.cumsum(count) - count, count
        )
        self._fraction = place / count[where] * (ties == "efron")

    def average(self, values: Floats, hazard: Floats) -> Floats:
        """Return a sum over risk sets divided by that of hazards, shape (events,)."""
        return self._sums(values) / self._sums(hazard)

    def means(self, x: Floats, hazard: Floats) -> Floats:
        """Return the mean covariates of each draw's risk set, shape (events, p)."""
        columns = [self.average(column * hazard, hazard) for column in x.T]
        return np.column_stack(columns)

    def _sums(self, values: Floats) -> Floats:
        size = self._size + 1
        # a row is at risk at death times first .. last - 1
        leaving = np.bincount(self._last, values, minlength=size)
        at_risk = np.cumsum(leaving[::-1])[::-1][1:]
        if self._first is not None:
            entering = np.bincount(self._first, values, minlength=size)
            at_risk = at_risk - np.cumsum(entering[::-1])[::-1][1:]
        tied = np.bincount(self._where, values[self._event], minlength=self._size)
        found = at_risk[self._where] - self._fraction * tied[self._where]
        return np.asarray(found, dtype=np.float64)

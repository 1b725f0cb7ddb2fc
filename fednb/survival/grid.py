"""Cox pooled on a time grid: sums of risk sets and deaths, an interval at a time.

Times are replaced by the end of their contract interval (disclosure rule 10), so that
all sites share their death times and risk sets add up over sites:
S_r(t_j) = sum over those at risk of w_i z_i^(r), D_r(t_j) the same over deaths at t_j,
r = 0, 1, 2 for 1, z, zz', w_i = weight exp(z_i' b). From totals of these
`GridTotals.likelihood` has the score and information of the pooled rows, ties by Efron
or Breslow. A time on an end belongs to the interval before it; who enters within an
interval is at risk in all of it; who stays beyond the last end is censored there.

Sources: Efron 1977, Breslow 1974 (ties); Cox 1975 (partial likelihood).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.binning import bin_sums
from fednb.survival.rows import check_rows
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fednb.survival.riskset import Ties
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

MOST_LOG_HAZARD = 10.0
"""Largest |z'b|: keeps sums in the secure sum's range. A fit gets there where it
diverges."""


def grid_length(cells: int, p: int) -> int:
    """Return the number of elements of `GridTotals.to_vector`.

    Parameters
    ----------
    cells
        Intervals times strata.
    p
        Columns of the design.
    """
    return cells * (3 + 2 * p + p * (p + 1)) + p


@dataclass(frozen=True, eq=False)
class GridTotals:
    """Sums over sites at one coefficient vector, C cells (strata times intervals).

    Parameters
    ----------
    s0, d0
        Of hazards over the risk set and over the deaths, shape (C,).
    s1, d1
        Times z, shape (C, p).
    s2, d2
        Times zz', upper triangle row by row, shape (C, p (p + 1) / 2).
    weight
        Case weights of the deaths, shape (C,).
    score
        Weighted z over all deaths, shape (p,).
    """

    s0: Floats
    d0: Floats
    s1: Floats
    d1: Floats
    s2: Floats
    d2: Floats
    weight: Floats
    score: Floats

    def to_vector(self) -> Floats:
        """Lay the sums out for the secure sum."""
        parts = (self.s0, self.d0, self.weight, self.s1, self.d1, self.s2, self.d2)
        return np.concatenate([*(part.ravel() for part in parts), self.score])

    @classmethod
    def from_vector(cls, vector: Floats, cells: int, p: int) -> Self:
        """Read the layout of `to_vector`.

        Raises
        ------
        InputError
            The length does not fit.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (grid_length(cells, p),):
            message = (
                f"A vector of shape {values.shape} does not hold the sums of {cells} "
                f"cells and {p} columns."
            )
            raise InputError(message)
        sizes = [1, 1, 1, p, p, p * (p + 1) // 2, p * (p + 1) // 2]
        ends = np.cumsum([cells * size for size in sizes])
        s0, d0, weight, s1, d1, s2, d2, score = np.split(values, ends)
        return cls(
            s0=s0,
            d0=d0,
            s1=s1.reshape(cells, -1),
            d1=d1.reshape(cells, -1),
            s2=s2.reshape(cells, -1),
            d2=d2.reshape(cells, -1),
            weight=weight,
            score=score,
        )

    def rounded(self, step: float) -> Self:
        """Round every number to a multiple of ``step`` (disclosure rule 20)."""
        if step == 0:
            return self
        values = np.rint(self.to_vector() / step) * step + 0.0
        cells, p = self.s1.shape
        return type(self).from_vector(values, cells, p)

    def draws(self, deaths: Ints, ties: Ties) -> Draws:
        """Return sums over the draws of each cell.

        Parameters
        ----------
        deaths
            In each cell over all sites, shape (C,).
        ties
            ``"efron"`` or ``"breslow"``.

        Raises
        ------
        FitError
            A risk set with deaths has no hazard.
        """
        return draws(self.s0, self.d0, self.weight, deaths, ties)

    def likelihood(self, beta: Floats, deaths: Ints, ties: Ties) -> LikelihoodSums:
        """Return score, information and log partial likelihood of the pooled rows.

        Every sum is exactly rounded, so that all machines find the same bits.

        Parameters
        ----------
        beta
            Where the sums were taken, shape (p,).
        deaths, ties
            As for `draws`.

        Raises
        ------
        FitError
            As for `draws`.
        """
        steps = self.draws(deaths, ties)
        p = self.score.size
        a, b = steps.a[:, None], steps.b[:, None]
        score = self.score - _exact(a * self.s1 - b * self.d1)
        i, j = np.triu_indices(p)
        s1, d1 = self.s1, self.d1
        outer = (
            steps.aa[:, None] * (s1[:, i] * s1[:, j])
            - steps.ab[:, None] * (s1[:, i] * d1[:, j] + d1[:, i] * s1[:, j])
            + steps.bb[:, None] * (d1[:, i] * d1[:, j])
        )
        upper = np.zeros((p, p))
        upper[i, j] = _exact(a * self.s2 - b * self.d2 - outer)
        information = upper + np.triu(upper, 1).T
        gain = math.fsum((self.score * beta).tolist())
        return LikelihoodSums(score, information, gain - steps.log)


@dataclass(frozen=True, eq=False)
class Draws:
    """Sums over the draws l of every cell, each of shape (C,), as in `RiskSets`.

    Parameters
    ----------
    a, b, aa, ab, bb
        Of 1/phi, f/phi, 1/phi^2, f/phi^2 and f^2/phi^2 times the mean weight of the
        deaths.
    log
        Total of log phi.
    """

    a: Floats
    b: Floats
    aa: Floats
    ab: Floats
    bb: Floats
    log: float


class GridRows:
    """Rows of one site on the grid of a contract.

    Parameters
    ----------
    z
        Standardised columns, shape (n, p).
    time, event, entry, weights, strata
        As for `fednb.survival.riskset.RiskSets`; strata from 0.
    ends
        End of each interval, ascending.
    groups
        Number of strata.

    Raises
    ------
    InputError
        As for `RiskSets`.
    """

    def __init__(
        self,
        z: Floats,
        survival: Survival,
        ends: Sequence[float],
        groups: int = 1,
    ) -> None:
        n, self.p = z.shape
        rows = check_rows(
            n,
            survival.time,
            survival.event,
            survival.entry,
            survival.weights,
            survival.strata,
        )
        edges = np.asarray(ends, dtype=np.float64)
        self.cells = groups * edges.size
        self._width = edges.size
        leaves = np.searchsorted(edges, rows.time, side="left")
        enters = np.zeros(n, dtype=np.intp)
        if rows.entry is not None:
            enters = np.searchsorted(edges, rows.entry, side="right")
        kept = enters < edges.size
        self._z = np.ascontiguousarray(z[kept])
        self._weights, strata = rows.weights[kept], rows.strata[kept]
        first = strata * edges.size
        self._enter = first + enters[kept]
        # who stays beyond the last end is at risk in it and leaves after it
        beyond = leaves[kept] == edges.size
        self._leave = first + np.minimum(leaves[kept], edges.size - 1)
        self._dead = np.flatnonzero(rows.event[kept] & ~beyond)
        self._pairs = np.triu_indices(self.p)

    def deaths(self) -> Floats:
        """Return deaths a cell, shape (C,)."""
        return bin_sums(self._leave[self._dead], np.ones(self._dead.size), self.cells)

    def totals(self, beta: Floats) -> GridTotals:
        """Return this site's part of the totals at ``beta``, shape (p,)."""
        hazard = self._hazard(beta)
        z, dead, cells = self._z, self._dead, self.cells
        at = self._leave[dead]
        i, j = self._pairs

        def over(values: Floats) -> tuple[Floats, Floats]:
            return self._at_risk(values), bin_sums(at, values[dead], cells)

        s0, d0 = over(hazard)
        first = [over(hazard * z[:, k]) for k in range(self.p)]
        second = [over(hazard * z[:, k] * z[:, m]) for k, m in zip(i, j, strict=True)]
        return GridTotals(
            s0=s0,
            d0=d0,
            s1=np.column_stack([s for s, _ in first]),
            d1=np.column_stack([d for _, d in first]),
            s2=np.column_stack([s for s, _ in second]),
            d2=np.column_stack([d for _, d in second]),
            weight=bin_sums(at, self._weights[dead], cells),
            score=self._weights[dead] @ z[dead],
        )

    def hazards(self, beta: Floats) -> Floats:
        """Return ``[S0, D0, weight of the deaths]`` of each cell, shape (3 C,)."""
        hazard, dead = self._hazard(beta), self._dead
        at = self._leave[dead]
        d0 = bin_sums(at, hazard[dead], self.cells)
        weight = bin_sums(at, self._weights[dead], self.cells)
        return np.concatenate([self._at_risk(hazard), d0, weight])

    def residuals(
        self, beta: Floats, totals: GridTotals, deaths: Ints, ties: Ties
    ) -> Floats:
        """Return score residuals, shape (rows, p); see `RiskSets.residuals`.

        Parameters
        ----------
        beta
            Of the fit, shape (p,).
        totals, deaths, ties
            Of all sites at ``beta``.
        """
        steps = totals.draws(deaths, ties)
        hazard = self._hazard(beta)
        exposure = hazard * self._collected(steps.a, steps.b)
        found = -self._z * exposure[:, None]
        weight = np.where(deaths > 0, totals.weight, 1.0)
        for k in range(self.p):
            s1, d1 = totals.s1[:, k], totals.d1[:, k]
            mean = s1 * steps.aa - d1 * steps.ab
            own = s1 * steps.ab - d1 * steps.bb
            found[:, k] += hazard * self._collected(mean, own)
            centre = (s1 * steps.a - d1 * steps.b) / weight
            gain = self._z[self._dead, k] - centre[self._leave[self._dead]]
            found[self._dead, k] += self._weights[self._dead] * gain
        return found

    def _hazard(self, beta: Floats) -> Floats:
        eta = np.clip(self._z @ beta, -MOST_LOG_HAZARD, MOST_LOG_HAZARD)
        return np.asarray(self._weights * np.exp(eta))

    def _at_risk(self, values: Floats) -> Floats:
        """Sum over each cell's risk set: who leaves in it or later, and has entered."""
        shape = (-1, self._width)
        leaving = bin_sums(self._leave, values, self.cells).reshape(shape)
        entering = bin_sums(self._enter, values, self.cells).reshape(shape)
        gone = np.cumsum(leaving, axis=1) - leaving
        return np.asarray((np.cumsum(entering, axis=1) - gone).ravel())

    def _collected(self, each: Floats, own: Floats) -> Floats:
        """Sum ``each`` over the cells at risk, less ``own`` at the own death."""
        table = each.reshape(-1, self._width)
        until = np.cumsum(table, axis=1)
        before = until - table
        found = until.ravel()[self._leave] - before.ravel()[self._enter]
        found[self._dead] -= own[self._leave[self._dead]]
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Survival:
    """Follow-up of some rows, each of shape (n,).

    Parameters
    ----------
    time, event
        Exit times, and 1 for a death.
    entry, weights, strata
        Left truncation, case weights, codes of strata; None: none.
    """

    time: npt.ArrayLike
    event: npt.ArrayLike
    entry: npt.ArrayLike | None = None
    weights: npt.ArrayLike | None = None
    strata: npt.ArrayLike | None = None


def draws(s0: Floats, d0: Floats, weight: Floats, deaths: Ints, ties: Ties) -> Draws:
    """Return sums over the draws of each cell.

    Parameters
    ----------
    s0, d0, weight, deaths
        As in `GridTotals`, each of shape (C,).
    ties
        ``"efron"`` or ``"breslow"``.

    Raises
    ------
    FitError
        A risk set with deaths has no hazard.
    """
    found = np.zeros((5, deaths.size))
    log = []
    for cell in np.flatnonzero(deaths > 0):
        d = int(deaths[cell])
        f = np.arange(d) / d * (ties == "efron")
        phi = s0[cell] - f * d0[cell]
        if not (phi > 0).all():
            message = (
                f"Interval {cell + 1} has {d} deaths and no hazard at risk: the fit "
                "diverges, or rounding hides it. Merge it with its neighbour."
            )
            raise FitError(message)
        mean = weight[cell] / d
        inverse, square = 1.0 / phi, 1.0 / (phi * phi)
        terms = (inverse, f * inverse, square, f * square, f * f * square)
        found[:, cell] = [mean * math.fsum(term.tolist()) for term in terms]
        log.append(mean * math.fsum(np.log(phi).tolist()))
    a, b, aa, ab, bb = found
    return Draws(a, b, aa, ab, bb, math.fsum(log))


def _exact(values: Floats) -> Floats:
    """Sum over the first axis, each column rounded once."""
    return np.array([math.fsum(column.tolist()) for column in values.T])


def baseline(steps: Draws, width: int) -> Floats:
    """Return the cumulative baseline hazard at z = 0, shape (strata, intervals)."""
    return np.asarray(np.cumsum(steps.a.reshape(-1, width), axis=1))

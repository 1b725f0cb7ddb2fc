"""Risk sets of one site, prepared once for every evaluation of a Cox fit.

Notation of the methods page: at a death time t, S_r and D_r are the sums of
``w_i exp(x_i' b)`` times 1, x_i, x_i x_i' over the risk set (entry < t <= T) and over
the deaths at t. The information needs no p x p sum a death time: every patient's share
of the outer products is the increments collected while at risk, so one weighted Gram
matrix over patients and one over death times give it.

Sources: Cox 1975 (partial likelihood), Efron 1977 and Breslow 1974 (ties).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fednb.errors import InputError
from fednb.survival.binning import bin_sums, cumulate, gram
from fednb.survival.memory import matrix
from fednb.survival.rows import check_rows
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints, Rows
    from fednb.survival.sums import Floats

Ties = Literal["efron", "breslow"]

SMALLEST = 1e-150
"""Floor of the denominators, relative to the largest hazard: its square is a number."""

CONSTANT = 1e-12
"""A column that varies less than this share of its size is constant."""


@dataclass(frozen=True)
class _Denominators:
    """Sums over the draws l of every death time, each of shape (J,).

    ``a`` sums 1/phi, ``b`` f/phi, ``aa`` 1/phi^2, ``ab`` f/phi^2, ``bb`` f^2/phi^2,
    all times the mean weight of the deaths; ``log`` is the total of log phi.
    """

    a: Floats
    b: Floats
    aa: Floats
    ab: Floats
    bb: Floats
    log: float


class RiskSets:
    """Risk sets of one site, sorted and indexed once.

    Parameters
    ----------
    x
        Covariates, shape (n, p), p >= 1, finite.
    time
        Exit times T, shape (n,), any unit.
    event
        1 for a death at the exit time, 0 for censoring, shape (n,).
    entry
        Left truncation times, shape (n,), before the exit times; a patient is at risk
        at t where entry < t <= T. None: at risk from the start.
    weights
        Case weights, shape (n,), positive; None: all 1. Efron's correction uses the
        mean weight of the deaths at a time, as lifelines does.
    strata
        Integer codes, shape (n,); each stratum has its own risk sets. None: one.

    Attributes
    ----------
    n : int
        Patients.
    p : int
        Columns.
    events : int
        Deaths.
    death_time, death_strata : numpy.ndarray
        Distinct death times with their strata, ordered by both, shape (J,).
    deaths : numpy.ndarray
        Deaths at each of them, shape (J,).

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, an event is not 0 or 1, a weight is
        not positive, or an entry is not before its exit.
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        time: npt.ArrayLike,
        event: npt.ArrayLike,
        entry: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        strata: npt.ArrayLike | None = None,
    ) -> None:
        values = np.asarray(x, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] == 0 or not np.isfinite(values).all():
            message = (
                f"The covariates have shape {values.shape}; a finite matrix of "
                "patients by at least one column is needed."
            )
            raise InputError(message)
        self.n, self.p = values.shape
        rows = check_rows(self.n, time, event, entry, weights, strata)
        self.events = int(rows.event.sum())
        order = np.lexsort((rows.time, rows.strata))
        rows = rows.take(order)
        self._index_deaths(rows)
        self._index_rows(rows)
        taken = order[self._kept]
        self._columns = matrix(self.p, taken.size)
        for k in range(self.p):
            # a column at a time: no second copy of all
            self._columns[k] = values[:, k][taken]
        self._centre()

    def _index_deaths(self, rows: Rows) -> None:
        """Find the distinct death times of each stratum."""
        time, strata = rows.time[rows.event], rows.strata[rows.event]
        new = np.ones(time.size, dtype=bool)
        new[1:] = (np.diff(time) > 0) | (np.diff(strata) > 0)
        first = np.flatnonzero(new)
        self.death_time, self.death_strata = time[first], strata[first]
        self.deaths = np.diff(np.append(first, time.size))
        group = np.repeat(np.arange(first.size), self.deaths)
        weights = rows.weights[rows.event]
        self._mean_weight = bin_sums(group, weights, first.size) / self.deaths
        # l = 0 .. d - 1 of each death time, one after the other
        self._draw_group = group
        self._draw_fraction = (np.arange(time.size) - first[group]) / self.deaths[group]
        self._strata, self._group_start = np.unique(
            self.death_strata, return_index=True
        )

    def _index_rows(self, rows: Rows) -> None:
        """Give each row the last death time it can reach; drop rows that see none."""
        exit_bin = self._last_death(rows.time, rows.strata)
        entry_bin = (
            np.full(rows.time.size, -1)
            if rows.entry is None
            else self._last_death(rows.entry, rows.strata)
        )
        self._kept = np.flatnonzero(exit_bin > entry_bin)
        self._exit_bin = exit_bin[self._kept]
        late = np.flatnonzero(entry_bin[self._kept] >= 0)
        self._late, self._late_bin = late, entry_bin[self._kept][late]
        self._weights = rows.weights[self._kept]
        self._dead = rows.event[self._kept]
        strata = rows.strata[self._kept]
        self._row_start = np.searchsorted(strata, self._strata)
        self._row_count = np.diff(np.append(self._row_start, strata.size))

    def _last_death(self, time: Floats, strata: Ints) -> Ints:
        """Index of the latest death time of the stratum up to each time, or -1."""
        found = np.full(time.size, -1)
        ends = np.append(self._group_start, self.death_time.size)[1:]
        row_first = np.searchsorted(strata, self._strata, side="left")
        row_last = np.searchsorted(strata, self._strata, side="right")
        for start, end, low, high in zip(
            self._group_start, ends, row_first, row_last, strict=True
        ):
            rank = np.searchsorted(
                self.death_time[start:end], time[low:high], side="right"
            )
            found[low:high] = np.where(rank > 0, start + rank - 1, -1)
        return found

    def _centre(self) -> None:
        """Centre the columns a stratum: the likelihood does not change, rounding does.

        A column that is constant in a stratum becomes exactly 0 there, so that it is
        seen as uninformative and not as rounding noise.
        """
        self._centres = np.zeros((self.p, self._strata.size))
        if not self._kept.size:
            return
        for k, column in enumerate(self._columns):
            largest = np.maximum.reduceat(np.abs(column), self._row_start)
            mean = np.add.reduceat(column, self._row_start) / self._row_count
            column -= np.repeat(mean, self._row_count)
            spread = np.maximum.reduceat(np.abs(column), self._row_start)
            flat = spread <= CONSTANT * largest
            column[np.repeat(flat, self._row_count)] = 0.0
            self._centres[k] = mean

    def _hazards(self, beta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return eta less its stratum's maximum, weighted hazards, and the maxima."""
        eta = beta @ self._columns
        top = np.maximum.reduceat(eta, self._row_start)
        eta -= np.repeat(top, self._row_count)
        return eta, self._weights * np.exp(eta), top

    def _collect(self, values: Floats) -> Floats:
        """Sum over each risk set, shape (J,)."""
        groups = self.death_time.size
        total = bin_sums(self._exit_bin, values, groups)
        if self._late.size:
            late = values[self._late]
            total -= bin_sums(self._late_bin, late, groups)
        return cumulate(total[::-1], self._reverse_start)[::-1]

    @property
    def _reverse_start(self) -> Ints:
        ends = np.append(self._group_start, self.death_time.size)[1:]
        return (self.death_time.size - ends)[::-1]

    def _denominators(self, hazard: Floats, ties: Ties) -> _Denominators:
        """Return sums over the draws of each death time."""
        group, groups = self._draw_group, self.death_time.size
        d0 = bin_sums(self._exit_bin[self._dead], hazard[self._dead], groups)
        # the deaths are in their risk set: a bound against cancellation
        s0 = np.maximum(self._collect(hazard), d0)
        fraction = self._draw_fraction * (ties == "efron")
        phi = s0[group] - fraction * d0[group]
        phi = np.maximum(phi, SMALLEST)
        first = self._mean_weight[group] / phi

        def total(values: Floats) -> Floats:
            return bin_sums(group, values, groups)

        return _Denominators(
            a=total(first),
            b=total(first * fraction),
            aa=total(first / phi),
            ab=total(first / phi * fraction),
            bb=total(first / phi * fraction**2),
            log=float(self._mean_weight[group] @ np.log(phi)),
        )

    def _exposure(self, steps: _Denominators) -> Floats:
        """Cumulative hazard that each row collected while at risk, shape (rows,)."""
        collected = cumulate(steps.a, self._group_start)
        exposure = collected[self._exit_bin]
        exposure[self._late] -= collected[self._late_bin]
        exposure[self._dead] -= steps.b[self._exit_bin[self._dead]]
        return exposure

    def _information(
        self, hazard: Floats, exposure: Floats, steps: _Denominators
    ) -> Floats:
        """Second moments minus the outer products of the risk-set means."""
        groups = self.death_time.size
        s1 = matrix(self.p, groups)
        tied = np.flatnonzero(steps.b > 0)
        d1 = np.zeros((self.p, tied.size))
        dead = self._exit_bin[self._dead]
        for k, column in enumerate(self._columns):
            values = hazard * column
            s1[k] = self._collect(values)
            if tied.size:
                here = bin_sums(dead, values[self._dead], groups)
                d1[k] = here[tied]
        cross = (s1[:, tied] * steps.ab[tied]) @ d1.T
        return (
            gram(self._columns, hazard * exposure)
            - gram(s1, steps.aa)
            + cross
            + cross.T
            - gram(d1, steps.bb[tied])
        )

    def sums(self, beta: npt.ArrayLike, ties: Ties = "efron") -> LikelihoodSums:
        """Score, information and log partial likelihood at ``beta``.

        Parameters
        ----------
        beta
            Coefficients, shape (p,), finite.
        ties
            ``"efron"`` or ``"breslow"``.

        Returns
        -------
        LikelihoodSums
            All zero where the site has no death.

        Raises
        ------
        InputError
            If ``beta`` has another shape or is not finite, or ``ties`` is unknown.
        """
        b = self._check_beta(beta, ties)
        if self.events == 0:
            return LikelihoodSums.zero(self.p)
        eta, hazard, _ = self._hazards(b)
        steps = self._denominators(hazard, ties)
        exposure = self._exposure(steps)
        died = self._weights * self._dead
        score = self._columns @ (died - hazard * exposure)
        information = self._information(hazard, exposure, steps)
        log_likelihood = float(died @ eta) - steps.log
        return LikelihoodSums(
            score, 0.5 * (information + information.T), log_likelihood
        )

    def residuals(self, beta: npt.ArrayLike, ties: Ties = "efron") -> Floats:
        """Score residuals: what each patient's weight adds to the score.

        Without weights their sum is the score, and the sum of their outer products the
        middle of the sandwich (Lin and Wei 1989).

        Parameters
        ----------
        beta
            Coefficients, shape (p,), finite.
        ties
            ``"efron"`` or ``"breslow"``.

        Returns
        -------
        numpy.ndarray
            Of the patients who see a death, in an order of their own; the others have
            none. Shape (rows, p).

        Raises
        ------
        InputError
            As for `sums`.
        """
        b = self._check_beta(beta, ties)
        if self.events == 0:
            return np.zeros((0, self.p))
        _, hazard, _ = self._hazards(b)
        steps = self._denominators(hazard, ties)
        exposure = self._exposure(steps)
        dead = self._exit_bin[self._dead]
        found = np.empty((hazard.size, self.p))
        for k, column in enumerate(self._columns):
            values = hazard * column
            s1 = self._collect(values)
            d1 = bin_sums(dead, values[self._dead], s1.size)
            passed = cumulate(s1 * steps.aa - d1 * steps.ab, self._group_start)
            due = passed[self._exit_bin]
            due[self._late] -= passed[self._late_bin]
            due[self._dead] -= (s1 * steps.ab - d1 * steps.bb)[dead]
            found[:, k] = hazard * (due - column * exposure)
            mean = (s1 * steps.a - d1 * steps.b) / (self._mean_weight * self.deaths)
            gain = self._weights[self._dead] * (column[self._dead] - mean[dead])
            found[self._dead, k] += gain
        return found

    def _check_beta(self, beta: npt.ArrayLike, ties: str) -> Floats:
        b = np.asarray(beta, dtype=np.float64)
        if b.shape != (self.p,) or not np.isfinite(b).all():
            message = (
                f"The coefficients have shape {b.shape}; {self.p} finite numbers are "
                "needed, one a column."
            )
            raise InputError(message)
        if ties not in {"efron", "breslow"}:
            message = f"Unknown ties {ties!r}; use 'efron' or 'breslow'."
            raise InputError(message)
        return b

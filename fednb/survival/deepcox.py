"""Deep Cox, exact profile: the baseline hazard of a network's log-hazards, from sums.

With eta_i the log-hazard of patient i and times replaced by the intervals of a
contract, sites send over each interval j

    S0_j = sum over T_i >= j of exp(eta_i),   D0_j the same over the deaths in j,
    d_j = deaths in j.

With phi_jl = S0_j - l/d_j D0_j, l = 0 .. d_j - 1 (Breslow: phi_jl = S0_j), the log
partial likelihood has the derivative d ll / d eta_i = delta_i - exp(eta_i) Lambda_i,
Lambda_i = sum over j <= T_i of sum_l (1 - l/d_j 1[i dies in j]) / phi_jl: that of the
Poisson loss exp(eta_i) Lambda_i - delta_i eta_i at fixed Lambda. So the gradient of all
sites' Poisson losses is that of the pooled partial likelihood, and splits over sites
and batches.

Sources: Cox 1975 (partial likelihood), Breslow 1974 and Efron 1977 (ties), Johansen
1983 (profile likelihood and its Poisson form).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fednb.errors import FitError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fednb.survival.riskset import Ties
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

MOST_LOG_HAZARD = 15.0
"""Largest |eta| that the ring of a secure sum can carry for any number of patients."""

DIGITS = 3
"""Significant digits of hazard sums where exact ones may not leave (rule 20)."""


def interval_codes(time: npt.ArrayLike, edges: Sequence[float]) -> Ints:
    """Return the interval of each time.

    Parameters
    ----------
    time
        Times, shape (n,), finite and not negative.
    edges
        Upper ends of the intervals, increasing: interval j is (edges[j-1], edges[j]],
        the first begins at 0, and later times count to the last.

    Returns
    -------
    numpy.ndarray
        Shape (n,), from 0 to ``len(edges) - 1``.

    Raises
    ------
    InputError
        A time is negative or not finite.
    """
    values = np.asarray(time, dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0)).all():
        message = "Follow-up times must be finite and not negative."
        raise InputError(message)
    codes = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="left")
    return np.minimum(codes, len(edges) - 1)


def merge_codes(codes: Ints, least: int) -> Ints:
    """Return intervals of which each that occurs holds at least `least` exits.

    Disclosure rule 10: exits are put off to the end of a run of intervals that holds
    enough of them; what is left at the end joins the run before it.

    Parameters
    ----------
    codes
        Interval of each of a site's patients, shape (n,).
    least
        Exits an interval. With fewer patients than that, all share one interval.
    """
    if not codes.size:
        return codes
    values, counts = np.unique(codes, return_counts=True)
    ends, held = [], 0
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        held += count
        if held >= least:
            ends.append(value)
            held = 0
    if held or not ends:
        ends = [*ends[:-1], int(values[-1])]
    last = np.asarray(ends, dtype=np.intp)
    return last[np.searchsorted(last, codes, side="left")]


def merge_times(time: npt.ArrayLike, edges: Sequence[float], least: int) -> Floats:
    """Return times put off to the ends of runs that hold at least `least` exits.

    Parameters
    ----------
    time, edges
        As for `interval_codes`.
    least
        As for `merge_codes`.
    """
    codes = merge_codes(interval_codes(time, edges), least)
    return np.asarray(edges, dtype=np.float64)[codes]


@dataclass(frozen=True, eq=False)
class HazardSums:
    """Sums over the intervals at one state of the network, of one site or of all.

    Parameters
    ----------
    at_risk
        S0, shape (J,): hazards of those at risk.
    dying
        D0, shape (J,): hazards of those who die in the interval.
    deaths
        d, shape (J,).
    """

    at_risk: Floats
    dying: Floats
    deaths: Floats

    @classmethod
    def of(cls, eta: npt.ArrayLike, codes: Ints, event: npt.ArrayLike, j: int) -> Self:
        """Return a site's sums.

        Parameters
        ----------
        eta
            Log-hazards, shape (n,), within +-`MOST_LOG_HAZARD`.
        codes
            Intervals, shape (n,), after `merge_codes`.
        event
            1 for a death, shape (n,).
        j
            Number of intervals.

        Raises
        ------
        FitError
            A log-hazard is not finite, or too large for the sums.
        """
        logs = np.asarray(eta, dtype=np.float64)
        if not (np.abs(logs) <= MOST_LOG_HAZARD).all():
            message = (
                "The network's log-hazards have left the range of "
                f"+-{MOST_LOG_HAZARD:g}. Use a lower learning rate."
            )
            raise FitError(message)
        hazard = np.exp(logs)
        died = np.asarray(event, dtype=np.float64)
        exits = _bin_sums(codes, hazard, j)
        return cls(
            np.cumsum(exits[::-1])[::-1],
            _bin_sums(codes, hazard * died, j),
            _bin_sums(codes, died, j),
        )

    @classmethod
    def from_vector(cls, vector: npt.ArrayLike) -> Self:
        """Return the sums that a vector carries, see `to_vector`.

        Raises
        ------
        InputError
            It does not have three parts, or holds what no sum can be.
        """
        values = np.asarray(vector, dtype=np.float64)
        good = values.ndim == 1 and values.size >= 3 and values.size % 3 == 0
        if not good or not np.isfinite(values).all() or values.min() < -1e-6:
            message = (
                f"Hazard sums of shape {values.shape} are not three finite numbers "
                "of at least 0 an interval."
            )
            raise InputError(message)
        at_risk, dying, deaths = values.reshape(3, -1)
        return cls(at_risk, dying, np.rint(deaths))

    def to_vector(self) -> Floats:
        """Return S0, D0 and d one after the other, shape (3 J,)."""
        return np.concatenate([self.at_risk, self.dying, self.deaths])

    def rounded(self) -> HazardSums:
        """Return the sums with `DIGITS` significant digits of S0 and D0.

        Rounding keeps order, so that S0 still falls over the intervals and D0 <= S0.
        """
        return HazardSums(_digits(self.at_risk), _digits(self.dying), self.deaths)

    def __add__(self, other: HazardSums) -> HazardSums:
        return HazardSums(
            self.at_risk + other.at_risk,
            self.dying + other.dying,
            self.deaths + other.deaths,
        )


@dataclass(frozen=True, eq=False)
class Baseline:
    """The baseline hazard that profiles the partial likelihood at given log-hazards.

    Parameters
    ----------
    increments
        Jump of the cumulative baseline hazard in each interval, shape (J,).
    tied
        What a death in the interval lacks of it under Efron's rule, shape (J,).
    log_phi
        Sum of log phi over all deaths.
    deaths
        Number of deaths over all sites.
    """

    increments: Floats
    tied: Floats
    log_phi: float
    deaths: int

    @classmethod
    def of(cls, sums: HazardSums, ties: Ties = "efron") -> Self:
        """Return the baseline of sums over all sites.

        Parameters
        ----------
        sums
            Over all sites.
        ties
            ``"efron"`` or ``"breslow"``.

        Raises
        ------
        FitError
            There is no death, or nobody is at risk where somebody dies.
        InputError
            `ties` is unknown.
        """
        if ties not in {"efron", "breslow"}:
            message = f"Unknown ties {ties!r}; use 'efron' or 'breslow'."
            raise InputError(message)
        deaths = sums.deaths.astype(np.intp)
        total = int(deaths.sum())
        if total < 1:
            message = (
                "No training patient of any site dies; a survival network needs "
                "deaths. Choose another outcome, split or follow-up."
            )
            raise FitError(message)
        group = np.repeat(np.arange(deaths.size), deaths)
        first = np.cumsum(deaths) - deaths
        fraction = (np.arange(total) - first[group]) / deaths[group]
        fraction *= ties == "efron"
        phi = sums.at_risk[group] - fraction * sums.dying[group]
        if not (phi > 0).all():
            message = "The sums have deaths in an interval in which nobody is at risk."
            raise FitError(message)
        return cls(
            _bin_sums(group, 1 / phi, deaths.size),
            _bin_sums(group, fraction / phi, deaths.size),
            float(np.log(phi).sum()),
            total,
        )

    @property
    def cumulative(self) -> Floats:
        """Cumulative baseline hazard at the end of each interval, shape (J,)."""
        return np.cumsum(self.increments)

    @property
    def per_death(self) -> float:
        """What each death adds so that Poisson losses sum up to -ll: a constant."""
        return (self.log_phi - self.deaths) / self.deaths

    def exposure(self, codes: Ints, event: npt.ArrayLike) -> Floats:
        """Return Lambda_i of each patient, shape (n,).

        Parameters
        ----------
        codes
            Intervals, shape (n,).
        event
            1 for a death, shape (n,).
        """
        died = np.asarray(event, dtype=np.float64)
        return self.cumulative[codes] - died * self.tied[codes]


def _bin_sums(bins: Ints, values: Floats, size: int) -> Floats:
    sums = np.bincount(bins, weights=values, minlength=size)
    return np.asarray(sums, dtype=np.float64)


def _digits(values: Floats) -> Floats:
    """Round to `DIGITS` significant digits; 0 stays 0."""
    size = np.floor(np.log10(np.where(values > 0, values, 1.0)))
    step = 10.0 ** (size - (DIGITS - 1))
    return np.rint(values / step) * step

"""Weighted pairs of patients, and the standard error of the share in order.

A patient takes part in many pairs, so the share of pairs in order has the variance of a
U-statistic: with a_i the weight of pairs in order that patient i takes part in (ties
half) and b_i that of all comparable ones, it is sum (a_i - C b_i)^2 / B^2, B being the
weight of all comparable pairs. For two samples this is DeLong's (1988), up to 1/n; for
survival the infinitesimal jackknife of ``concordance`` in R's survival.

Sites form no pairs with each other. Each sums at its own C, and the mean over sites,
weighted by their pairs, has the variance sum_k spread_k / (sum_k B_k)^2: that of a mean
over strata of these weights. It leaves out that the weights vary, too, which counts
only as far as the sites' C differ. Sums of a^2, a b and b^2 apart would bring that in,
and tell more than errors: b does not depend on the score, and of two samples
sum b_i^2 / B is their size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fednb.errors import FitError
from fednb.survival.rows import check_rows, read_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

PAIR_SUMS = 3
"""Elements of `PairSums.to_vector`."""


@dataclass(frozen=True)
class PairSums:
    """Weights of pairs by how a score orders them; those of disjoint sites add up.

    Parameters
    ----------
    agreeing
        Pairs that the score orders as the outcome does, ties counted half.
    comparable
        All pairs that the outcome orders.
    spread
        Squared standard error of their share times squared `comparable`, see the
        module.
    """

    agreeing: float
    comparable: float
    spread: float

    @classmethod
    def none(cls) -> Self:
        """Return the sums over no pairs."""
        return cls(0.0, 0.0, 0.0)

    @property
    def index(self) -> float:
        """Share of comparable pairs in order, 0 to 1.

        Raises
        ------
        FitError
            If no pair is comparable.
        """
        if self.comparable <= 0:
            message = (
                "No two patients can be compared: there is no death with anybody still "
                "at risk after it, or only one class. Use more patients."
            )
            raise FitError(message)
        return self.agreeing / self.comparable

    @property
    def std_error(self) -> float:
        """Standard error of `index`; NaN where no pair is comparable."""
        if self.comparable <= 0:
            return math.nan
        return math.sqrt(max(self.spread, 0.0)) / self.comparable

    def __add__(self, other: PairSums) -> PairSums:
        return PairSums(
            self.agreeing + other.agreeing,
            self.comparable + other.comparable,
            self.spread + other.spread,
        )

    def per(self, unit: float) -> PairSums:
        """Return the sums in another unit, which changes no share and no error.

        Parameters
        ----------
        unit
            For example the number of patients: sums then fit a fixed-point range.
        """
        return PairSums(
            self.agreeing / unit, self.comparable / unit, self.spread / unit**2
        )

    def to_vector(self) -> Floats:
        """Return ``[agreeing, comparable, spread]``, shape (3,)."""
        return np.array([self.agreeing, self.comparable, self.spread])

    @classmethod
    def from_vector(cls, vector: Floats) -> Self:
        """Read the layout of `to_vector`.

        Parameters
        ----------
        vector
            Shape (3,).
        """
        agreeing, comparable, spread = (float(value) for value in vector)
        return cls(agreeing, comparable, spread)


def survival_pairs(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> PairSums:
    """Sum pairs of survival times in O(n log^2 n).

    Parameters
    ----------
    time
        Exit times, shape (n,).
    event
        1 for a death, 0 for censoring, shape (n,); at one time deaths come first, and
        two deaths at one time are not compared.
    risk
        Score, higher for an earlier death, shape (n,), finite.
    weight
        Of a pair, by the one who dies first, at least 0, shape (n,); None: 1, which is
        Harrell's C. Uno's takes the inverse square of the censoring curve.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, or an event is not 0 or 1.
    """
    scores = np.asarray(risk, dtype=np.float64)
    scores = read_vector("scores", scores, scores.size)
    n = scores.size
    rows = check_rows(n, time, event, None, None, None)
    weights = np.ones(n) if weight is None else read_vector("weights", weight, n)
    # among deaths at one time, ascending scores hide their pairs from the count of
    # later, lower ones
    order = np.lexsort((scores, ~rows.event, rows.time))
    rows, scores = rows.take(order), scores[order]
    weights = np.where(rows.event, weights[order], 0.0)
    rank = np.unique(scores, return_inverse=True)[1].astype(np.intp)
    block = _runs(rows.time, rows.event)
    lower, higher = _lower_and_higher(rank, weights)
    equal, equal_weight = _equal(rank, block, weights)
    size = np.bincount(block, minlength=1)
    after = n - np.cumsum(size)[block] if n else np.zeros(0)
    before = np.concatenate([[0.0], np.cumsum(weights)])
    begin = np.concatenate([[0], np.cumsum(size)])[block] if n else block
    agreeing = weights * (lower + 0.5 * equal)
    comparable = weights * after
    a = agreeing + higher + 0.5 * equal_weight
    b = comparable + before[begin]
    return _sums(float(agreeing.sum()), float(comparable.sum()), a, b)


def two_sample_pairs(
    case: npt.ArrayLike, control: npt.ArrayLike, risk: npt.ArrayLike
) -> PairSums:
    """Sum pairs of a case and a control; with weights 0 and 1, the index is the AUC.

    Parameters
    ----------
    case, control
        Weight of each patient as either, at least 0, shape (n,).
    risk
        Score, higher for a case, shape (n,), finite.

    Raises
    ------
    InputError
        If shapes differ or a value is not finite.
    """
    scores = np.asarray(risk, dtype=np.float64)
    n = scores.size
    scores = read_vector("scores", scores, n)
    cases = read_vector("case weights", case, n)
    controls = read_vector("control weights", control, n)
    rank = np.unique(scores, return_inverse=True)[1]
    case_sum = np.bincount(rank, weights=cases, minlength=1)
    control_sum = np.bincount(rank, weights=controls, minlength=1)
    below = np.cumsum(control_sum) - 0.5 * control_sum
    above = cases.sum() - np.cumsum(case_sum) + 0.5 * case_sum
    of_case = cases * below[rank] if n else cases
    of_control = controls * above[rank] if n else controls
    b = cases * controls.sum() + controls * cases.sum()
    total = float(cases.sum() * controls.sum())
    return _sums(float(of_case.sum()), total, of_case + of_control, b)


def spread_of(
    time: npt.ArrayLike | None, event: npt.ArrayLike, risk: npt.ArrayLike
) -> float:
    """Return the spread of the share of `concordance.pair_counts`, same parameters."""
    if time is None:
        controls = 1.0 - np.asarray(event, dtype=np.float64)
        return two_sample_pairs(event, controls, risk).spread
    return survival_pairs(time, event, risk).spread


def _sums(agreeing: float, comparable: float, a: Floats, b: Floats) -> PairSums:
    if comparable <= 0:
        return PairSums(agreeing, comparable, 0.0)
    apart = a - agreeing / comparable * b
    return PairSums(agreeing, comparable, float(apart @ apart))


def _runs(time: Floats, event: npt.NDArray[np.bool_]) -> Ints:
    """Give each run of equal time and event a number from 0, shape (n,)."""
    new = np.zeros(time.size, dtype=np.intp)
    new[1:] = (time[1:] != time[:-1]) | (event[1:] != event[:-1])
    return np.cumsum(new)


def _lower_and_higher(rank: Ints, weight: Floats) -> tuple[Floats, Floats]:
    """Count later positions of lower rank; sum earlier weights of higher rank.

    Ranks are split bit by bit from the top, as in a wavelet tree: two of them first
    differ at one bit, and there the lower has a 0 and the higher a 1.
    """
    n = rank.size
    lower, higher = np.zeros(n), np.zeros(n)
    here, held, place = rank, weight, np.arange(n)
    bits = int(rank.max()).bit_length() if n else 0
    for bit in range(bits - 1, -1, -1):
        one = (here >> bit) & 1 == 1
        prefix = here >> (bit + 1)
        start = np.searchsorted(prefix, prefix, side="left")
        end = np.searchsorted(prefix, prefix, side="right")
        zeros = np.concatenate([[0], np.cumsum(~one)])
        ones = np.concatenate([[0.0], np.cumsum(np.where(one, held, 0.0))])
        index = np.arange(n)
        lower[place[one]] += (zeros[end] - zeros[index + 1])[one]
        higher[place[~one]] += (ones[index] - ones[start])[~one]
        order = np.argsort(here >> bit, kind="stable")
        here, held, place = here[order], held[order], place[order]
    return lower, higher


def _equal(rank: Ints, block: Ints, weight: Floats) -> tuple[Floats, Floats]:
    """Count later positions, and sum earlier weights, of equal rank in other blocks."""
    both = rank * (int(block.max(initial=0)) + 1) + block
    ones = np.ones(rank.size)
    later = _after(rank, ones) - _after(both, ones)
    earlier = _before(rank, weight) - _before(both, weight)
    return later, earlier


def _before(key: Ints, values: Floats) -> Floats:
    """Sum values at earlier positions with the same key, shape (n,)."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    sums = np.concatenate([[0.0], np.cumsum(values[order])])
    first = np.searchsorted(ordered, ordered, side="left")
    out = np.empty(key.size)
    out[order] = sums[:-1] - sums[first]
    return out


def _after(key: Ints, values: Floats) -> Floats:
    """Sum values at later positions with the same key, shape (n,)."""
    return _before(key[::-1], values[::-1])[::-1]

"""Renyi accountant of differential privacy: what noisy training costs a patient.

A step draws each patient with probability q, adds up their clipped gradients and adds
Gaussian noise of sigma times the clipping norm: the sampled Gaussian mechanism. Its
Renyi divergence at order a (Mironov, CSF 2017), between two sets of patients of which
one has one patient more, is log(A) / (a - 1) with A from Mironov, Talwar and Zhang
(arXiv:1908.10530, section 3.3). Divergences of steps add up, whoever asked and however
later steps were chosen in the light of earlier ones; the sum becomes (epsilon, delta)
by Canonne, Kamath and Steinke (NeurIPS 2020, proposition 12; Balle et al., AISTATS
2020, theorem 21). Everything is an upper bound: nothing is claimed that does not hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ORDERS: Final = (
    *(1 + step / 4 for step in range(1, 40)),
    *range(11, 65),
    *(72.0, 80.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0),
)
"""Orders at which divergences are kept; any of them gives a bound."""

MOST_NOISE: Final = 1000.0
"""Largest noise multiplier that `noise_for` looks at."""

DECIMALS: Final = 3
"""Decimals to which noise multipliers and costs are written, rounded up."""

_TERMS: Final = 512
_SMALL: Final = 64


@dataclass(frozen=True)
class Steps:
    """Some steps of the sampled Gaussian mechanism.

    Attributes
    ----------
    noise_multiplier
        Standard deviation of the noise over the clipping norm, > 0.
    sampling_rate
        Probability with which a step draws each patient, in (0, 1].
    count
        Number of steps, >= 0.

    Raises
    ------
    InputError
        A number is out of its range.
    """

    noise_multiplier: float
    sampling_rate: float
    count: int

    def __post_init__(self) -> None:
        """Refuse what is no mechanism."""
        noisy = 0 < self.noise_multiplier < math.inf
        if not noisy or not 0 < self.sampling_rate <= 1 or self.count < 0:
            message = (
                "Steps need a noise multiplier > 0, a sampling rate in (0, 1] and a "
                f"count >= 0; got {self.noise_multiplier}, {self.sampling_rate} and "
                f"{self.count}."
            )
            raise InputError(message)

    def rdp(self) -> Floats:
        """Return the divergence of all steps together at each of `ORDERS`."""
        one = rdp_of_step(self.noise_multiplier, self.sampling_rate)
        return self.count * np.asarray(one)


@lru_cache(maxsize=1024)
def rdp_of_step(
    noise_multiplier: float,
    sampling_rate: float,
    orders: tuple[float, ...] = ORDERS,
) -> tuple[float, ...]:
    """Return the Renyi divergence of one step at each order.

    Parameters
    ----------
    noise_multiplier, sampling_rate
        See `Steps`.
    orders
        Each > 1.
    """
    a = np.asarray(orders, dtype=np.float64)
    if sampling_rate == 1.0:
        return tuple((a / (2 * noise_multiplier**2)).tolist())
    log_a = _log_a(noise_multiplier, sampling_rate, orders)
    return tuple((np.maximum(log_a, 0.0) / (a - 1)).tolist())


def epsilon_of(spent: Iterable[Steps], delta: float) -> float:
    """Return epsilon at `delta` of everything that was spent, taken together.

    Parameters
    ----------
    spent
        Steps of any kinds; the order has no influence.
    delta
        Probability with which the bound may fail, in (0, 1).

    Returns
    -------
    epsilon
        >= 0; 0 where nothing was spent.

    Raises
    ------
    InputError
        `delta` is out of its range.
    """
    if not 0 < delta < 1:
        message = f"delta must lie in (0, 1); got {delta}."
        raise InputError(message)
    rdp = np.zeros(len(ORDERS))
    counted = 0
    for steps in spent:
        rdp += steps.rdp()
        counted += steps.count
    if not counted:
        return 0.0
    return epsilon_from(rdp, delta)


def epsilon_from(
    rdp: Floats, delta: float, orders: tuple[float, ...] = ORDERS
) -> float:
    """Return the smallest epsilon >= 0 that divergences at some orders show.

    Parameters
    ----------
    rdp
        Shape (number of orders,).
    delta
        In (0, 1).
    orders
        Each > 1.
    """
    a = np.asarray(orders, dtype=np.float64)
    bounds = rdp + np.log1p(-1 / a) - (math.log(delta) + np.log(a)) / (a - 1)
    return max(float(bounds.min()), 0.0)


def rounded_up(value: float) -> float:
    """Return a cost or a noise multiplier with `DECIMALS` decimals, never less."""
    scale = 10**DECIMALS
    # what is at a decimal already, but for the last bits, stays there
    return math.ceil(value * scale - 1e-6) / scale


def noise_for(epsilon: float, delta: float, sampling_rate: float, count: int) -> float:
    """Return the least noise multiplier under which steps cost at most `epsilon`.

    Every machine gives the same: bisection in whole thousandths.

    Parameters
    ----------
    epsilon, delta
        What may be spent, > 0.
    sampling_rate, count
        Of the steps.

    Returns
    -------
    noise_multiplier
        With `DECIMALS` decimals.

    Raises
    ------
    InputError
        No noise up to `MOST_NOISE` suffices, or a number is out of its range.
    """
    scale = 10**DECIMALS

    def suffices(thousandths: int) -> bool:
        steps = Steps(thousandths / scale, sampling_rate, count)
        return epsilon_of((steps,), delta) <= epsilon

    low, high, most = 0, scale, round(MOST_NOISE * scale)
    while high < most and not suffices(high):
        low, high = high, min(2 * high, most)
    if high == most and not suffices(high):
        message = (
            f"epsilon = {epsilon} at delta = {delta} cannot be reached: {count} steps "
            f"at sampling rate {sampling_rate:.4g} need a noise multiplier above "
            f"{MOST_NOISE:g}. Allow a larger epsilon or fewer rounds."
        )
        raise InputError(message)
    while high - low > 1:
        middle = (low + high) // 2
        if suffices(middle):
            high = middle
        else:
            low = middle
    return high / scale


def _log_a(sigma: float, q: float, orders: tuple[float, ...]) -> Floats:
    """Return log A at each order, shape (number of orders,)."""
    found = np.empty(len(orders))
    for table in _tables(orders):
        found[table.places] = (_whole if table.whole else _broken)(table, sigma, q)
    return found


def _whole(table: _Table, sigma: float, q: float) -> Floats:
    """Return log A of whole orders: a finite sum of binomial terms each."""
    # scipy only where it is needed: most sessions begin sooner without it
    from scipy.special import logsumexp

    k, j = table.terms, table.orders - table.terms
    logs = table.binomials + k * math.log(q) + j * math.log1p(-q)
    total: Floats = logsumexp(logs + (k * k - k) / (2 * sigma**2), axis=1)
    return total


def _broken(table: _Table, sigma: float, q: float) -> Floats:
    """Return log A of broken orders: two series, split where densities are equal.

    Terms fall like i^-(order + 2) and alternate in sign, so that what is left out is
    smaller than the last term; that much is added, for an upper bound.
    """
    from scipy.special import log_ndtr, logsumexp

    i, j = table.terms, table.orders - table.terms
    log_q, log_p = math.log(q), math.log1p(-q)
    z = sigma**2 * (log_p - log_q) + 0.5
    below = table.binomials + i * log_q + j * log_p + (i * i - i) / (2 * sigma**2)
    below += log_ndtr((z - i) / sigma)
    above = table.binomials + j * log_q + i * log_p + (j * j - j) / (2 * sigma**2)
    above += log_ndtr((j - z) / sigma)
    logs = np.concatenate([below, above, below[:, -1:], above[:, -1:]], axis=1)
    ones = np.ones((len(logs), 2))
    signs = np.concatenate([table.signs, table.signs, ones], axis=1)
    total: Floats = logsumexp(logs, b=signs, axis=1)
    return total


@dataclass(frozen=True)
class _Table:
    """What the series of some orders have in common, whatever the noise.

    Attributes
    ----------
    whole
        Whether the orders are whole numbers.
    places
        Of the orders in the tuple that was asked.
    orders, terms
        Shapes (n, 1) and (1, m).
    binomials, signs
        log |order over term|, and its sign; shape (n, m).
    """

    whole: bool
    places: NDArray[np.int64]
    orders: Floats
    terms: Floats
    binomials: Floats
    signs: Floats


@lru_cache(maxsize=8)
def _tables(orders: tuple[float, ...]) -> tuple[_Table, ...]:
    """Return the tables of broken, of small whole and of large whole orders."""
    from scipy.special import gammaln

    given = np.asarray(orders, dtype=np.float64)
    broken = given % 1 != 0
    parts = (broken, ~broken & (given <= _SMALL), ~broken & (given > _SMALL))
    found = []
    for part, whole in zip(parts, (False, True, True), strict=True):
        if not part.any():
            continue
        a = given[part][:, None]
        last = int(a.max()) + 1 if whole else _TERMS
        k = np.arange(last, dtype=np.float64)[None]
        # 1 over gamma is 0 at a whole number <= 0: terms beyond a whole order vanish
        logs = gammaln(a + 1) - gammaln(k + 1) - gammaln(a - k + 1)
        signs = np.where(k > a, (-1.0) ** (k - np.ceil(a)), 1.0)
        found.append(_Table(whole, np.flatnonzero(part), a, k, logs, signs))
    return tuple(found)

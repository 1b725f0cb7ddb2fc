"""Random-effects meta-analysis from sums over sites: no site's estimate is needed.

DerSimonian and Laird, Controlled Clinical Trials 7:177 (1986); I2: Higgins and
Thompson, Statistics in Medicine 21:1539 (2002); prediction interval: Higgins, Thompson
and Spiegelhalter, JRSS A 172:137 (2009). With w = 1/v, the first round sums 1, w, w^2,
w y and w y^2, from which the variance between sites follows; the second sums the
weights 1/(v + tau^2) and their products with y at that variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

EFFECT_SUMS = 5
"""Elements of `effect_sums`."""

MEAN_SUMS = 2
"""Elements of `mean_sums`."""


@dataclass(frozen=True)
class Heterogeneity:
    """How much an estimate differs between sites beyond chance.

    Parameters
    ----------
    sites
        That contributed an estimate.
    q
        Cochran's; chi-squared with ``sites - 1`` degrees of freedom without
        heterogeneity.
    tau2
        Variance between sites, >= 0.
    i2
        Share of the variance between estimates that is not chance, 0 to 1.
    mean, std_error
        Common mean and its error at ``tau2 = 0``.
    """

    sites: int
    q: float
    tau2: float
    i2: float
    mean: float
    std_error: float


@dataclass(frozen=True)
class RandomEffects:
    """The mean over sites like these, and where a new site's value would lie.

    Parameters
    ----------
    mean, std_error
        Of the distribution over sites.
    low, high
        95 % prediction interval of a new site; NaN for fewer than 3 sites.
    """

    mean: float
    std_error: float
    low: float
    high: float


def effect_sums(effect: float, variance: float) -> Floats:
    """Return one site's part of the first round, shape (5,); zeros where it has none.

    Parameters
    ----------
    effect
        The site's estimate, on a scale where it is about normal.
    variance
        Its squared standard error; not finite or not positive: no estimate.
    """
    if not (math.isfinite(effect) and math.isfinite(variance) and variance > 0):
        return np.zeros(EFFECT_SUMS)
    w = 1.0 / variance
    return np.array([1.0, w, w * w, w * effect, w * effect**2])


def heterogeneity(sums: Floats) -> Heterogeneity:
    """Estimate the variance between sites.

    Parameters
    ----------
    sums
        Of `effect_sums` over sites, shape (5,).

    Raises
    ------
    FitError
        Fewer than two sites have an estimate.
    """
    sites = round(float(sums[0]))
    if sites < 2:
        message = f"{sites} sites have an estimate; heterogeneity needs at least 2."
        raise FitError(message)
    _, w, ww, wy, wyy = sums.tolist()
    mean = wy / w
    q = max(wyy - wy * mean, 0.0)
    spread = w - ww / w
    tau2 = max((q - (sites - 1)) / spread, 0.0) if spread > 0 else 0.0
    i2 = max((q - (sites - 1)) / q, 0.0) if q > 0 else 0.0
    return Heterogeneity(sites, q, tau2, i2, mean, math.sqrt(1 / w))


def mean_sums(effect: float, variance: float, tau2: float) -> Floats:
    """Return one site's part of the second round, shape (2,); zeros without estimate.

    Parameters
    ----------
    effect, variance
        As for `effect_sums`.
    tau2
        Variance between sites, >= 0.
    """
    if not effect_sums(effect, variance).any():
        return np.zeros(MEAN_SUMS)
    w = 1.0 / (variance + tau2)
    return np.array([w, w * effect])


def random_effects(found: Heterogeneity, sums: Floats) -> RandomEffects:
    """Return the mean over sites and the prediction interval of a new one.

    Parameters
    ----------
    found
        Of the first round.
    sums
        Of `mean_sums` over sites, shape (2,).
    """
    from scipy.special import stdtrit

    w, wy = sums.tolist()
    mean, error = wy / w, math.sqrt(1 / w)
    if found.sites < 3:
        return RandomEffects(mean, error, math.nan, math.nan)
    reach = float(stdtrit(found.sites - 2, 0.975)) * math.sqrt(found.tau2 + error**2)
    return RandomEffects(mean, error, mean - reach, mean + reach)


def logit(share: float, std_error: float) -> tuple[float, float]:
    """Return a share on the logit scale and its variance (delta method).

    Parameters
    ----------
    share
        Within (0, 1); NaN is returned at 0, 1 and outside.
    std_error
        Of the share.
    """
    if not 0 < share < 1:
        return math.nan, math.nan
    slope = 1 / (share * (1 - share))
    return math.log(share / (1 - share)), (slope * std_error) ** 2


def expit(value: float) -> float:
    """Return the share of a logit."""
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0

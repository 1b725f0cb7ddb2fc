"""Figures of training and evaluation before they are summed: rounded, or withheld."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fednb.privacy.rounding import round_count, to_a_tenth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile

    Floats = NDArray[np.float64]

DECIMALS = 3

MILLION = 1e6
"""Unit of squared pairs, which would not fit the range of a secure sum otherwise."""


class TrainingSums(NamedTuple):
    """Figures of a round of training; those of several sites add up.

    Attributes
    ----------
    n, loss
        Patients trained on, and their number times the mean loss; both 0 under
        differential privacy.
    validation_n, validation_loss
        Patients who only validate, and the sum of their losses.
    concordant, tied, pairs
        Of these: pairs in order, with equal scores, and all comparable ones.
    """

    n: float
    loss: float
    validation_n: float
    validation_loss: float
    concordant: float
    tied: float
    pairs: float

    @property
    def share(self) -> float:
        """Of pairs in order: AUC, or C of a survival network; NaN without pairs."""
        return _share(self.concordant, self.tied, self.pairs)


class EvaluationSums(NamedTuple):
    """Figures of a trained network; those of several sites add up.

    Attributes
    ----------
    n, log_loss, brier
        Patients, the sum of their log-losses and of their Brier scores; of a survival
        network the sums are 0.
    concordant, tied, pairs
        As for `TrainingSums`.
    positives
        Patients with the label 1, or deaths.
    spread
        Squared standard error of the share times the squared number of pairs, in
        millions; NaN where it was not asked for.
    """

    n: float
    log_loss: float
    brier: float
    concordant: float
    tied: float
    pairs: float
    positives: float
    spread: float = math.nan

    @property
    def share(self) -> float:
        """Of pairs in order: AUC, or C of a survival network; NaN without pairs."""
        return _share(self.concordant, self.tied, self.pairs)

    @property
    def share_error(self) -> float:
        """Standard error of `share`; NaN without pairs or `spread`."""
        return share_error(self.spread, self.pairs)


def share_error(spread: float, pairs: float) -> float:
    """Return the standard error of a share of pairs, of its sums over sites.

    Parameters
    ----------
    spread
        Of `EvaluationSums`.
    pairs
        Comparable ones, with equal scores among them.

    Returns
    -------
    float
        NaN where there are no pairs, or their spread is not known.
    """
    return math.sqrt(spread * MILLION) / pairs if pairs > 0 else math.nan


def safe_spread(spread: float, pairs: float, profile: Profile, *, fewest: int) -> float:
    """Return a site's spread of a share of pairs in a form that may be summed.

    Parameters
    ----------
    spread
        Of `EvaluationSums`.
    pairs
        As they are shown.
    profile
        The open one shows it as it is.
    fewest
        Patients on the rarer side of the pairs: deaths, or the rarer label. Of fewer
        than the threshold it is what no share exceeds, whose variance is at most 1/4:
        it follows from the pairs that are shown, and makes intervals too wide if
        anything.
    """
    if profile.exact:
        return spread
    if fewest < profile.threshold:
        return pairs**2 / 4 / MILLION
    # so much and no more: the standard error is off by a twentieth at most
    return to_a_tenth(spread)


def safe_training_metrics(values: Floats, profile: Profile) -> Floats:
    """Return a site's figures of a round in a form that may be summed.

    Parameters
    ----------
    values
        `TrainingSums`, shape (7,).
    profile
        Counts below its threshold are 0, with all that goes with them.
    """
    if profile.exact:
        return values
    own = TrainingSums(*values.tolist())
    train = _mean_part(own.n, (own.loss,), profile)
    validation = _mean_part(own.validation_n, (own.validation_loss,), profile)
    shown = _pairs(own, profile) if validation[0] else (0.0, 0.0, 0.0)
    return np.array([*train, *validation, *shown])


def safe_evaluation_metrics(
    values: Floats, profile: Profile, *, survival: bool = False
) -> Floats:
    """Return a site's figures of an evaluation in a form that may be summed.

    Parameters
    ----------
    values
        `EvaluationSums`, shape (8,).
    profile
        As for `safe_training_metrics`.
    survival
        Whether pairs are of deaths and whoever outlived them, not of two labels.
    """
    if profile.exact:
        return values
    own = EvaluationSums(*values.tolist())
    head = _mean_part(own.n, (own.log_loss, own.brier), profile)
    if not head[0]:
        return np.zeros(len(own))
    deaths = round(own.positives)
    fewest = deaths if survival else min(deaths, round(own.n) - deaths)
    pairs = _pairs(own, profile)
    spread = safe_spread(own.spread, pairs[-1], profile, fewest=fewest)
    return np.array([*head, *pairs, float(round_count(deaths, profile)), spread])


def _mean_part(
    n: float, sums: tuple[float, ...], profile: Profile
) -> tuple[float, ...]:
    """Return a rounded count, and so many times each mean in three decimals."""
    shown = float(round_count(round(n), profile))
    if not shown:
        return (0.0,) * (1 + len(sums))
    return (shown, *(shown * round(total / n, DECIMALS) for total in sums))


def _pairs(
    own: TrainingSums | EvaluationSums, profile: Profile
) -> tuple[float, float, float]:
    concordant, tied, pairs = (
        float(round_count(round(count), profile))
        for count in (own.concordant, own.tied, own.pairs)
    )
    return concordant, tied, pairs


def _share(concordant: float, tied: float, pairs: float) -> float:
    return (concordant + 0.5 * tied) / pairs if pairs > 0 else math.nan

"""Figures of training and evaluation before they are summed: rounded, or withheld."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fednb.privacy.rounding import round_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile

    Floats = NDArray[np.float64]

DECIMALS = 3


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
    """

    n: float
    log_loss: float
    brier: float
    concordant: float
    tied: float
    pairs: float
    positives: float

    @property
    def share(self) -> float:
        """Of pairs in order: AUC, or C of a survival network; NaN without pairs."""
        return _share(self.concordant, self.tied, self.pairs)


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


def safe_evaluation_metrics(values: Floats, profile: Profile) -> Floats:
    """Return a site's figures of an evaluation in a form that may be summed.

    Parameters
    ----------
    values
        `EvaluationSums`, shape (7,).
    profile
        As for `safe_training_metrics`.
    """
    if profile.exact:
        return values
    own = EvaluationSums(*values.tolist())
    head = _mean_part(own.n, (own.log_loss, own.brier), profile)
    if not head[0]:
        return np.zeros(len(own))
    positives = float(round_count(round(own.positives), profile))
    return np.array([*head, *_pairs(own, profile), positives])


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

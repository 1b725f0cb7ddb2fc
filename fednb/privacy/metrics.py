"""Figures of training and evaluation before they are summed: rounded, or withheld."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import round_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile

    Floats = NDArray[np.float64]

DECIMALS = 3


def safe_training_metrics(values: Floats, profile: Profile) -> Floats:
    """Return a site's figures of a round in a form that may be summed.

    Parameters
    ----------
    values
        ``[n, sum of losses, validation n, sum of validation losses, concordant, tied,
        pairs]``.
    profile
        Counts below its threshold are 0, with all that goes with them.
    """
    if profile.exact:
        return values
    train = _mean_part(values[0], values[1:2], profile)
    validation = _mean_part(values[2], values[3:4], profile)
    pairs = _pairs(values[4:7], profile) if validation[0] else np.zeros(3)
    return np.concatenate([train, validation, pairs])


def safe_evaluation_metrics(values: Floats, profile: Profile) -> Floats:
    """Return a site's figures of an evaluation in a form that may be summed.

    Parameters
    ----------
    values
        ``[n, sum of log-losses, sum of Brier scores, concordant, tied, pairs,
        positives]``.
    profile
        As for `safe_training_metrics`.
    """
    if profile.exact:
        return values
    head = _mean_part(values[0], values[1:3], profile)
    if not head[0]:
        return np.zeros(7)
    positives = round_count(round(float(values[6])), profile)
    return np.concatenate([head, _pairs(values[3:6], profile), [positives]])


def _mean_part(n: float, sums: Floats, profile: Profile) -> Floats:
    shown = round_count(round(float(n)), profile)
    if not shown:
        return np.zeros(1 + len(sums))
    means = np.round(sums / n, DECIMALS)
    return np.concatenate([[shown], shown * means])


def _pairs(counts: Floats, profile: Profile) -> Floats:
    return np.asarray([round_count(round(float(c)), profile) for c in counts], float)

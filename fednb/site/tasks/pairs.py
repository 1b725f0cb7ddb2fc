"""A site's pairs of patients in an assessment, rounded as they may leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import to_a_tenth
from fednb.survival.close_pairs import apart_bin_pairs, close_kernel, close_pairs
from fednb.survival.pairs import PAIR_SUMS, PairSums, two_sample_pairs
from fednb.survival.pooled_concordance import (
    cross_part,
    survival_bin_pairs,
    time_bin_pairs,
)
from fednb.survival.time_auc import auc_weights
from fednb.survival.uno import uno_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.survival.assessment import AssessmentState

    Floats = NDArray[np.float64]

_TEN = 10.0
"""Pairs leave to the nearest ten."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Complete rows of the patients assessed.

    Attributes
    ----------
    risk, time, event, index
        Linear predictor, follow-up, and place in the table, each of shape (n,).
    moved
        By how much each column moves the linear predictor, then all together, shape
        (n, columns + 1).
    binary
        Columns that hold 0 and 1, shape (n, their number).
    """

    risk: Floats
    time: Floats
    event: Floats
    index: NDArray[np.intp]
    moved: Floats
    binary: Floats


@dataclass(frozen=True, eq=False)
class Placed:
    """Rows on the grid and in bins, their table, and what is shown of it."""

    interval: NDArray[np.intp]
    bins: NDArray[np.intp]
    own: Floats
    shown: Floats


def weighted_pairs(
    rows: Rows, placed: Placed, state: AssessmentState, profile: Profile
) -> tuple[Floats, Floats]:
    """Sum pairs within the site for Uno's C and each AUC, and those of one bin.

    Returns
    -------
    pairs
        `short`, shape (kinds, 3): Uno's C, then each AUC; none of a logistic model.
    same
        In order and comparable, shape (1 + kinds, 2): Harrell's C (or the AUC) first.
    """
    ordered = (rows.time, rows.event, rows.risk, placed.bins)
    curves = state.curves
    if curves is None:
        same = per_patient(survival_bin_pairs(*ordered)[None], state, profile)
        return np.zeros((0, PAIR_SUMS)), same
    tied = [apart_bin_pairs(*ordered, placed.interval)]
    weight = state.uno_weight[placed.interval]
    columns = (placed.interval, rows.event, rows.risk)
    pairs = [short(uno_pairs(*columns, state.uno_weight), state, profile)]
    tied.append(survival_bin_pairs(*columns, placed.bins, weight))
    for at in state.at:
        case, control = auc_weights(at, placed.interval, rows.event, curves)
        made = two_sample_pairs(case, control, rows.risk)
        pairs.append(short(made, state, profile))
        tied.append(time_bin_pairs(case, control, rows.risk, placed.bins))
    return np.array(pairs), per_patient(np.array(tied), state, profile)


def close_sums(
    rows: Rows,
    placed: Placed,
    grid: Floats,
    state: AssessmentState,
    profile: Profile,
) -> Floats:
    """Sum pairs of one interval: across sites by the table, within sites as they are.

    Returns
    -------
    numpy.ndarray
        See `fednb.survival.close_pairs.credited`; per patient of all sites, shape (8,).
    """
    total = state.blocks["joint"]["table"]
    across = cross_part(close_kernel, placed.own, placed.shown, total)
    within = close_pairs(rows.time, rows.event, rows.risk, grid)
    return per_patient(np.concatenate([across, within]), state, profile)


def per_patient(pairs: Floats, state: AssessmentState, profile: Profile) -> Floats:
    """Return pairs to the nearest ten, per patient of all sites."""
    return rounded(pairs, _TEN, profile) / state.n


def short(pairs: PairSums, state: AssessmentState, profile: Profile) -> Floats:
    """Return sums per patient: pairs to the nearest ten, their spread to a tenth."""
    vector = pairs.to_vector()
    if not profile.exact:
        vector[:2] = np.rint(vector[:2] / _TEN) * _TEN
        vector[2] = to_a_tenth(float(vector[2]))
    return PairSums.from_vector(vector).per(state.n).to_vector()


def rounded(values: Floats, step: float, profile: Profile) -> Floats:
    """Return multiples of a step; the open profile changes nothing."""
    if profile.exact:
        return values
    return np.asarray(np.rint(values / step) * step)

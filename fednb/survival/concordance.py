"""Harrell's C and the AUC as counts of pairs, which add up over sites.

Two patients are comparable where the one with the earlier time died; at equal times,
where exactly one died, who counts as earlier. Same convention as
``lifelines.utils.concordance_index`` (Harrell 1996), except that a higher score here
means an earlier death.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.rows import check_rows, read_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


@dataclass(frozen=True)
class PairCounts:
    """Pairs of patients by how a score orders them.

    Parameters
    ----------
    concordant
        Pairs ordered as the outcome orders them.
    tied
        Pairs with equal scores.
    comparable
        All pairs that the outcome orders.
    """

    concordant: int
    tied: int
    comparable: int

    def __add__(self, other: PairCounts) -> PairCounts:
        return PairCounts(
            self.concordant + other.concordant,
            self.tied + other.tied,
            self.comparable + other.comparable,
        )

    @property
    def index(self) -> float:
        """Share of comparable pairs in order, ties counted half; 0 to 1.

        Raises
        ------
        FitError
            If no pair is comparable.
        """
        if self.comparable == 0:
            message = (
                "No two patients can be compared: there is no death with anybody still "
                "at risk after it. Use a longer follow-up or more patients."
            )
            raise FitError(message)
        return (self.concordant + 0.5 * self.tied) / self.comparable


def concordance_counts(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    risk: npt.ArrayLike,
    strata: npt.ArrayLike | None = None,
) -> PairCounts:
    """Count concordant pairs of survival times in O(n log n).

    Parameters
    ----------
    time
        Exit times, shape (n,).
    event
        1 for a death, 0 for censoring, shape (n,).
    risk
        Score, higher for an earlier death, shape (n,), finite.
    strata
        Integer codes, shape (n,); pairs are formed inside strata only. None: one.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, or an event is not 0 or 1.
    """
    scores = _scores(risk)
    rows = check_rows(scores.size, time, event, None, None, strata)
    # inside a block of deaths at one time, ascending risk hides the pairs that are not
    # comparable from the count of later, lower risks
    order = np.lexsort((scores, ~rows.event, rows.time, rows.strata))
    rows, scores = rows.take(order), scores[order]
    rank = _dense_rank(scores, rows.strata)
    dead = np.flatnonzero(rows.event)
    stratum_end = np.searchsorted(rows.strata, rows.strata[dead], side="right")
    block = _runs(rows.strata, rows.time, rows.event)
    block_end = np.searchsorted(block, block[dead], side="right")
    comparable = int((stratum_end - block_end).sum())
    tied = int(_later_equal(rank)[dead].sum())
    # pairs of deaths at one time with one risk are not comparable
    _, same = np.unique(_runs(block[dead], rank[dead]), return_counts=True)
    tied -= int((same * (same - 1) // 2).sum())
    return PairCounts(_later_lower(rank, rows.event), tied, comparable)


def auc_counts(label: npt.ArrayLike, score: npt.ArrayLike) -> PairCounts:
    """Count pairs of a positive and a negative; their index is the AUC.

    Parameters
    ----------
    label
        1 for a positive, 0 for a negative, shape (n,).
    score
        Higher for a positive, shape (n,), finite.

    Raises
    ------
    InputError
        If shapes differ, a value is not finite, or a label is not 0 or 1.
    """
    scores = _scores(score)
    labels = read_vector("labels", label, scores.size)
    if not np.isin(labels, (0.0, 1.0)).all():
        message = "Labels must be 0 or 1; recode the column."
        raise InputError(message)
    positive = scores[labels == 1]
    negative = np.sort(scores[labels == 0])
    below = np.searchsorted(negative, positive, side="left")
    up_to = np.searchsorted(negative, positive, side="right")
    return PairCounts(
        int(below.sum()),
        int((up_to - below).sum()),
        positive.size * negative.size,
    )


def pair_counts(
    time: npt.ArrayLike | None, event: npt.ArrayLike, risk: npt.ArrayLike
) -> PairCounts:
    """Count pairs of survival times, or of two labels.

    Parameters
    ----------
    time
        Exit times, see `concordance_counts`; None: `event` is a label, see
        `auc_counts`.
    event, risk
        As there.
    """
    if time is None:
        return auc_counts(event, risk)
    return concordance_counts(time, event, risk)


def _scores(values: npt.ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    return read_vector("scores", scores, scores.size)


def _runs(*columns: npt.NDArray[np.generic]) -> Ints:
    """Give each run of equal neighbours a number from 0, shape (n,)."""
    new = np.zeros(columns[0].size, dtype=np.intp)
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.cumsum(new)


def _dense_rank(scores: Floats, strata: Ints) -> Ints:
    """Rank by stratum, then score: a later stratum never holds a lower rank."""
    order = np.lexsort((scores, strata))
    rank = np.empty(scores.size, dtype=np.intp)
    rank[order] = _runs(strata[order], scores[order])
    return rank


def _later_equal(rank: Ints) -> Ints:
    """Count later positions of equal rank, shape (n,)."""
    order = np.argsort(rank, kind="stable")
    ordered = rank[order]
    later = np.searchsorted(ordered, ordered, side="right") - np.arange(rank.size) - 1
    out = np.empty_like(rank)
    out[order] = later
    return out


def _later_lower(rank: Ints, counted: npt.NDArray[np.bool_]) -> int:
    """Count pairs of a counted position and a later one of lower rank.

    Ranks are split bit by bit from the top, as in a wavelet tree: two of them first
    differ at one bit, and there the lower has a 0 and the higher a 1.
    """
    if rank.size == 0:
        return 0
    total = 0
    for bit in range(int(rank.max()).bit_length() - 1, -1, -1):
        zero = (rank >> bit) & 1 == 0
        prefix = rank >> (bit + 1)
        # stable partition: inside a prefix, zeros before ones, in their order
        seen = np.cumsum(zero)
        start = np.searchsorted(prefix, prefix, side="left")
        end = np.searchsorted(prefix, prefix, side="right")
        before = np.where(start > 0, seen[start - 1], 0)
        later = seen[end - 1] - seen
        total += int(later[~zero & counted].sum())
        zeros_so_far = seen - before
        ones_so_far = np.arange(rank.size) - start + 1 - zeros_so_far
        zeros_in_all = seen[end - 1] - before
        place = start - 1 + np.where(zero, zeros_so_far, zeros_in_all + ones_so_far)
        moved, moved_counted = np.empty_like(rank), np.empty_like(counted)
        moved[place], moved_counted[place] = rank, counted
        rank, counted = moved, moved_counted
    return total

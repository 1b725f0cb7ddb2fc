"""Secondary suppression: what a small cell's row and column give away (rule 5).

A small cell is not shown. Where the total of its row or column was released too, the
shown cells subtracted from the total leave a range for it. If that range is narrower
than all counts below the threshold, a second cell is suppressed. Only released figures
enter, so that the suppression itself says nothing more than they do.

Source: A. Hundepool et al., "Statistical Disclosure Control", Wiley 2012, ch. 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import least_counts, most_counts
from fednb.privacy.rules import TOTALS, Safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Counts = NDArray[np.int64]
    Mask = NDArray[np.bool_]


def hidden_range(
    shown: Counts, total: int, profile: Profile, seconds: int = 0
) -> tuple[int, int]:
    """Return the range that a row's figures leave for one of its small cells.

    Parameters
    ----------
    shown
        Rounded counts of the row; 0 where suppressed.
    total
        Rounded count of the row's patients.
    profile
        Says which counts a rounded one can stand for.
    seconds
        How many of the suppressed cells hold the threshold: suppressed as second cells.
    """
    small = profile.threshold - 1
    visible = shown[shown > 0]
    others = int(np.count_nonzero(shown == 0)) - seconds - 1
    most = int(most_counts(total, profile) - least_counts(visible, profile).sum())
    least = int(least_counts(total, profile) - most_counts(visible, profile).sum())
    # a second cell may hold all that is left over, and holds at least the threshold
    low = 0 if seconds else max(0, least - others * small)
    return low, min(small, most - seconds * profile.threshold)


def check_subtraction(
    shown: Counts, total: int, profile: Profile, seconds: int = 0
) -> Decision:
    """Rule 5: refuse a row whose total narrows down a small cell.

    Parameters
    ----------
    shown, total, profile, seconds
        As for `hidden_range`; a total of 0 was not released.
    """
    small = profile.threshold - 1
    primary = int(np.count_nonzero(shown == 0)) - seconds
    if profile.exact or total == 0 or primary <= 0 or not shown.any():
        reason = "no released total gives a small cell back"
        return TOTALS.decide(reason, profile, allow=True)
    low, high = hidden_range(shown, total, profile, seconds)
    reason = (
        f"{primary} small cells in a row of total {total} lie within {low}-{high} by "
        f"subtraction (0-{small} is needed)"
    )
    return TOTALS.decide(reason, profile, allow=low <= 0 and high >= small)


def second_cells(
    shown: Counts, totals: tuple[Counts, Counts], free: Mask, profile: Profile
) -> Safe[Mask]:
    """Rule 5: return which further cells of a table to suppress.

    Parameters
    ----------
    shown
        Rounded counts, shape (rows, columns); 0 where suppressed.
    totals
        Rounded counts of the rows and of the columns; 0 where none was released.
    free
        Cells that may be suppressed: they were not released before.
    profile
        Of the contract.

    Returns
    -------
    hidden
        Same shape, and the decisions that led there; the smallest cell of a row goes
        first.
    """
    seconds = np.zeros(shown.shape, dtype=np.bool_)
    decisions: list[Decision] = []
    again = True
    while again:
        again = False
        for line, total in _lines(shown.shape, totals):
            now = np.where(seconds, 0, shown)[line]
            count = int(seconds[line].sum())
            decision = check_subtraction(now, total, profile, count)
            choice = np.where(free[line] & (now > 0), now, np.iinfo(np.int64).max)
            if not decision.allow and choice.min() < np.iinfo(np.int64).max:
                seconds[line][int(np.argmin(choice))] = True
                decisions.append(decision)
                again = True
    return Safe(seconds, tuple(decisions))


def _lines(
    shape: tuple[int, ...], totals: tuple[Counts, Counts]
) -> Iterator[tuple[tuple[int | slice, int | slice], int]]:
    """Yield rows, then columns, each with its total."""
    for row in range(shape[0]):
        yield (row, slice(None)), int(totals[0][row])
    for column in range(shape[1]):
        yield (slice(None), column), int(totals[1][column])

"""Joint tables with merged cells: no cell of a site stands for few patients.

A site merges neighbouring cells of the contract's grid until each merged one holds the
threshold of its own patients (disclosure rules 2, 4 and 10), rounds the counts, and
spreads each evenly over the cells that it merged. The margins, merged alike, are finer
than the joint cells: the table is fitted to them (Deming and Stephan 1940). Everything
shown is a function of rounded counts of at least the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import round_count, round_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile

    Floats = NDArray[np.float64]
    Box = tuple[slice, slice]

_FITS = 30


def merged_places(counts: Floats, profile: Profile) -> NDArray[np.intp]:
    """Return the places between cells that leave the threshold on each side.

    Parameters
    ----------
    counts
        Patients of each cell, shape (c,).
    profile
        Gives the threshold.

    Returns
    -------
    numpy.ndarray
        Ascending places from 0 to c; 0 and c are among them.
    """
    least = max(profile.threshold, 1)
    below = np.concatenate([[0], np.cumsum(counts)])
    total = below[-1]
    kept = [0]
    for place in range(1, len(counts)):
        inside = below[place] - below[kept[-1]]
        if inside >= least and total - below[place] >= least:
            kept.append(place)
    return np.array([*kept, len(counts)])


def tail_end(kept: NDArray[np.intp]) -> int:
    """Return where what is merged with the end of time ends, as far as is shown.

    Declared bounds lie far beyond the last exit, and where that is may not be shown
    (rule 7): the last merged interval is taken to be as wide as the one before it.

    Parameters
    ----------
    kept
        From `merged_places`, along time.
    """
    last = int(kept[-1])
    if len(kept) < 3:
        return last
    return min(last, int(2 * kept[-2] - kept[-3]))


def held(
    values: Floats, counts: Floats, profile: Profile, *, time: bool = False
) -> Floats:
    """Return a running sum as it may leave: exact at merged places, linear between.

    Parameters
    ----------
    values
        At each place, shape (c + 1,): the first and the last may leave.
    counts
        Patients between the places, shape (c,).
    profile
        The open profile changes nothing.
    time
        Whether cells are intervals of time; see `tail_end`.
    """
    if profile.exact:
        return values
    kept = merged_places(counts, profile)
    knots = np.append(kept[:-1], tail_end(kept)) if time else kept
    return np.interp(np.arange(len(values)), knots, values[kept])


def safe_margin(counts: Floats, profile: Profile, *, time: bool = False) -> Floats:
    """Return counts of neighbouring cells as they may leave, shape (c,).

    Parameters
    ----------
    counts
        Patients of each cell, shape (c,).
    profile
        Gives threshold and rounding; the open profile changes nothing.
    time
        Whether cells are intervals of time; see `tail_end`.
    """
    if profile.exact:
        return counts
    below = np.concatenate([[0.0], np.cumsum(counts)])
    shown = round_counts(np.rint(below), profile).astype(np.float64)
    return np.diff(held(shown, counts, profile, time=time))


def safe_joint(table: Floats, profile: Profile) -> Floats:
    """Return a table by event, interval and bin as it may leave, same shape.

    Parameters
    ----------
    table
        Patients, shape (2, intervals, bins).
    profile
        Gives threshold and rounding; the open profile changes nothing.
    """
    if profile.exact:
        return table
    shown = np.stack([_boxes(layer, profile) for layer in table])
    by_bin = safe_margin(table.sum(axis=(0, 1)), profile)
    by_time = np.stack(
        [safe_margin(layer.sum(axis=1), profile, time=True) for layer in table]
    )
    # an empty box may not forbid what a margin says
    shown = np.where(by_time[:, :, None] > 0, shown + 1e-6, 0.0)
    for _ in range(_FITS):
        shown *= _ratio(by_bin, shown.sum(axis=(0, 1)))
        shown *= _ratio(by_time, shown.sum(axis=2))[:, :, None]
    return shown


def _boxes(layer: Floats, profile: Profile) -> Floats:
    """Halve the layer while each half holds the threshold; spread each box evenly."""
    shown = np.zeros_like(layer)
    waiting: list[Box] = [(slice(0, layer.shape[0]), slice(0, layer.shape[1]))]
    while waiting:
        box = waiting.pop()
        halves = _halves(layer, box, max(profile.threshold, 1))
        if halves:
            waiting.extend(halves)
            continue
        inside = layer[box]
        count = round_count(round(float(inside.sum())), profile)
        shown[box] = count / max(inside.size, 1)
    return shown


def _halves(layer: Floats, box: Box, least: int) -> tuple[Box, Box] | None:
    """Return the most even cut of a box, or None where no cut is allowed."""
    inside = layer[box]
    best, found = float(least), None
    for axis in (0, 1):
        below = inside.sum(axis=1 - axis).cumsum()
        if below.size < 2:
            continue
        smaller = np.minimum(below[:-1], below[-1] - below[:-1])
        cut = int(np.argmax(smaller))
        if smaller[cut] >= best:
            best, found = float(smaller[cut]) + 0.5, (axis, cut + 1)
    if found is None:
        return None
    axis, cut = found
    low, high = list(box), list(box)
    start, stop = box[axis].start, box[axis].stop
    low[axis], high[axis] = slice(start, start + cut), slice(start + cut, stop)
    return (low[0], low[1]), (high[0], high[1])


def _ratio(wanted: Floats, found: Floats) -> Floats:
    return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)

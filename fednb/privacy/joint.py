"""Joint tables of which no part stands for few patients.

A site merges neighbouring cells of the contract's grid until each merged one holds the
threshold of its own patients (disclosure rules 2, 4 and 10) and rounds the running
counts. Means, standard deviations and a correlation, in whole cells and one decimal,
leave by the same rules (2, 4 and 6). What is shown is the smoothest table that agrees
with these: a function of rounded numbers of at least the threshold and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.cells import safe_mean, safe_variance
from fednb.privacy.max_entropy import coupled, smoothest
from fednb.privacy.rounding import least_counts, most_counts, round_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile

    Floats = NDArray[np.float64]

_CELL = 1.0
"""Means are of numbers of cells: one decimal of a cell is shown."""
_DECIMAL = 0.1


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
    values: Floats,
    counts: Floats,
    profile: Profile,
    *,
    time: bool = False,
    along: Floats | None = None,
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
    along
        Patients of each cell as they are shown, shape (c,): between merged places the
        sum is linear in them. None: in the number of the cell.
    """
    if profile.exact:
        return values
    kept = merged_places(counts, profile)
    if along is not None:
        places = np.concatenate([[0.0], np.cumsum(along)])
        return np.asarray(np.interp(places, places[kept], values[kept]))
    knots = np.append(kept[:-1], tail_end(kept)) if time else kept
    return np.interp(np.arange(len(values)), knots, values[kept])


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
    return np.stack([_smooth_layer(layer, profile) for layer in table])


def _smooth_layer(layer: Floats, profile: Profile) -> Floats:
    """Return one event's table from its smoothed margins and their correlation."""
    counts = layer.astype(np.intp)
    by_time, by_bin = counts.sum(axis=1), counts.sum(axis=0)
    rows, columns = _smooth_margin(by_time, profile), _smooth_margin(by_bin, profile)
    first, second = np.nonzero(counts)
    times = counts[first, second]
    products = _scores(first, times) * _scores(second, times)
    correlation = safe_mean(np.repeat(products, times), _CELL, profile).value
    return coupled(rows, columns, correlation or 0.0)


def _scores(number: NDArray[np.intp], times: NDArray[np.intp]) -> Floats:
    """Return numbers of cells, each of so many patients, in standard units."""
    total = max(int(times.sum()), 1)
    centred = number - float(number @ times) / total
    variance = float(centred**2 @ times) / total
    return np.asarray(centred / np.sqrt(variance) if variance > 0 else 0.0 * centred)


def _smooth_margin(counts: NDArray[np.intp], profile: Profile) -> Floats:
    """Return the smoothest counts with what may be shown of the given ones.

    A sum enters with the variance of its rounding, so that merged counts, which are
    rounded to tens, do not outvote a mean.
    """
    shown, cells = round_count(int(counts.sum()), profile), counts.size
    if not shown or cells == 1:
        return np.full(cells, shown / cells)
    number = np.arange(cells, dtype=np.float64)
    below = np.cumsum(counts)
    width = int(most_counts(shown, profile) - least_counts(shown, profile)) + 1
    known: list[tuple[Floats, float, float]] = [
        (number < place, round_count(int(below[place - 1]), profile) / shown, width)
        for place in merged_places(counts.astype(np.float64), profile)[1:-1]
    ]
    values = np.repeat(number, counts)
    mean = safe_mean(values, _CELL, profile).value
    spread = safe_variance(values, _CELL, profile).value
    if mean is not None:
        std = float(np.sqrt(spread)) if spread is not None else float(cells)
        scale = max(std, _CELL)
        units, step = (number - mean) / scale, _DECIMAL * shown / scale
        known.append((units, 0.0, step))
        if spread is not None:
            # of a square, to first order, and what that leaves out at a spread of 0
            squared = step * (2 * std + _DECIMAL) / scale
            known.append((units**2, spread / scale**2, squared))
    features, targets, widths = zip(*known, strict=True) if known else ((), (), ())
    # the variance of a number of patients that is rounded to its width, per patient
    slack = np.square(np.asarray(widths, dtype=np.float64)) / (12 * shown)
    table = np.reshape(np.asarray(features, dtype=np.float64), (-1, cells))
    return shown * smoothest(table, np.asarray(targets), slack)

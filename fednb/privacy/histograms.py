"""Safe histograms on the owner's grid, and quantiles from them (rules 7 and 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.privacy.cells import check_threshold
from fednb.privacy.rounding import least_counts, round_counts
from fednb.privacy.rules import HISTOGRAM, QUANTILES, Safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """A histogram that may leave.

    Parameters
    ----------
    edges
        Edges of the bins, all on the owner's grid; the outermost are the grid's own,
        not the smallest and largest value.
    counts
        Rounded numbers of patients, one fewer than edges.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def on_grid(self, edges: Sequence[float]) -> Floats:
        """Return the counts on the owner's grid, each bin spread evenly over its cells.

        Parameters
        ----------
        edges
            Edges of the grid, shape (cells + 1,), which hold all of `self.edges`.
        """
        places = np.searchsorted(np.asarray(edges), np.asarray(self.edges))
        widths = np.diff(places)
        return np.repeat(np.asarray(self.counts) / widths, widths)


def grid_counts(values: Floats, edges: Sequence[float]) -> NDArray[np.int64]:
    """Return exact counts on the grid: private. Values outside fall in the end cells.

    Parameters
    ----------
    values
        Shape (n,), finite.
    edges
        Shape (cells + 1,), increasing. Cells are closed on the left, the last on both
        sides.
    """
    inner = np.asarray(edges, dtype=np.float64)[1:-1]
    cells = np.searchsorted(inner, values, side="right")
    return np.bincount(cells, minlength=len(edges) - 1).astype(np.int64)


def safe_histogram(
    values: Floats, edges: Sequence[float], profile: Profile, bins: int = 20
) -> Safe[Histogram]:
    """Rules 2, 4 and 8: return a histogram whose bins are merged from the owner's grid.

    Cells are joined from the left until a bin holds the threshold and its share of the
    patients, so that there are no more than ``min(bins, 20, 10 % of n)``; what is left
    over on the right joins the last bin. The open profile keeps the grid.

    Parameters
    ----------
    values
        Shape (n,): one a patient, none missing.
    edges
        The owner's grid, shape (cells + 1,), increasing.
    profile
        The site's.
    bins
        Fewer bins than the rules allow, where asked for; at least 1.

    Raises
    ------
    InputError
        The grid has no cell, or `bins` is below 1.
    """
    if len(edges) < 2 or bins < 1:
        message = f"A histogram needs a grid and a bin; got {len(edges)} edges, {bins}."
        raise InputError(message)
    n = values.size
    threshold = check_threshold(n, profile)
    if not threshold.allow:
        return Safe(None, (threshold,))
    counts = grid_counts(values, edges)
    if profile.exact:
        decision = HISTOGRAM.decide("exact counts on the grid", profile, allow=True)
        exact = Histogram(tuple(edges), tuple(counts.tolist()))
        return Safe(exact, (threshold, decision))
    most = max(1, min(bins, profile.max_bins, math.floor(profile.bin_share * n)))
    starts = _merge(counts, max(profile.threshold, math.ceil(n / most)))
    merged = np.add.reduceat(counts, starts)
    decision = check_histogram(merged, n, profile)
    kept = (*(edges[i] for i in starts), edges[-1])
    shown = tuple(round_counts(merged, profile).tolist())
    value = Histogram(kept, shown) if decision.allow else None
    return Safe(value, (threshold, decision))


def _merge(counts: NDArray[np.int64], target: int) -> list[int]:
    """Return the first grid cell of each bin, every bin holding at least `target`."""
    starts, held, begin = [], 0, 0
    for cell, count in enumerate(counts.tolist()):
        held += count
        if held >= target:
            starts.append(begin)
            begin, held = cell + 1, 0
    # cells left over hold too few: they stay with the last bin
    return starts


def check_histogram(counts: NDArray[np.int64], n: int, profile: Profile) -> Decision:
    """Rule 8: refuse too many bins, or a bin below the threshold.

    Parameters
    ----------
    counts
        Exact counts of the bins.
    n
        Patients in all.
    profile
        Gives the limits.
    """
    most = max(1, min(profile.max_bins, math.floor(profile.bin_share * n)))
    least = int(counts.min()) if counts.size else 0
    reason = (
        f"{counts.size} bins (at most {most}), the smallest with {least} patients (at "
        f"least {profile.threshold})"
    )
    allow = counts.size <= most and least >= profile.threshold
    return HISTOGRAM.decide(reason, profile, allow=allow)


def safe_quantiles(
    histogram: Histogram, probabilities: Sequence[float], profile: Profile
) -> Safe[tuple[float | None, ...]]:
    """Rule 7: return quantiles interpolated in a safe histogram.

    Parameters
    ----------
    histogram
        From `safe_histogram`: nothing finer is ever used.
    probabilities
        Between 0 and 1.
    profile
        Gives the tail, and the threshold for each side.

    Returns
    -------
    quantiles
        One a probability; None where the rule stops it. Linear within a bin.
    """
    n = int(least_counts(histogram.counts, profile).sum())
    decisions = tuple(check_quantile(p, n, profile) for p in probabilities)
    found = interpolate(histogram.edges, histogram.counts, probabilities)
    return Safe(
        tuple(q if d.allow else None for q, d in zip(found, decisions, strict=True)),
        decisions,
    )


def check_quantile(probability: float, n: int, profile: Profile) -> Decision:
    """Rule 7: refuse a quantile in the tails, or with too few patients on a side.

    Parameters
    ----------
    probability
        Of the quantile.
    n
        Number of patients: the smallest that the rounded histogram can stand for.
    profile
        Gives the tail and the threshold.
    """
    side = min(probability, 1 - probability)
    reason = (
        f"quantile {probability:g} of {n} patients leaves {side * n:.1f} on its "
        f"smaller side (at least {profile.threshold}); probabilities lie within "
        f"{profile.tail:g} and {1 - profile.tail:g}"
    )
    enough = profile.exact or side * n >= profile.threshold
    allow = profile.tail - 1e-12 <= side and enough and n > 0
    return QUANTILES.decide(reason, profile, allow=allow)


def interpolate(
    edges: Sequence[float],
    counts: Sequence[float] | Floats,
    probabilities: Sequence[float],
) -> list[float]:
    """Return quantiles of a histogram, linear within bins; NaN for an empty one.

    Parameters
    ----------
    edges
        Shape (bins + 1,).
    counts
        Shape (bins,), >= 0.
    probabilities
        Between 0 and 1.
    """
    below = np.concatenate(([0.0], np.cumsum(counts)))
    if below[-1] <= 0:
        return [math.nan] * len(probabilities)
    found = []
    for p in probabilities:
        rank = p * below[-1]
        cell = int(np.searchsorted(below, rank, side="left"))
        cell = min(max(cell, 1), len(below) - 1)
        inside = (rank - below[cell - 1]) / (below[cell] - below[cell - 1] or 1.0)
        low, high = edges[cell - 1], edges[cell]
        found.append(float(low + min(max(inside, 0.0), 1.0) * (high - low)))
    return found

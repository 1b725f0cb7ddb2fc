"""From a summed vector of statistics to what a scientist reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.histograms import check_quantile, interpolate
from fednb.privacy.tables import NumberCell, levels_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import LevelCell, StatisticsLayout
    from fednb.records.datasets import Column


@dataclass(frozen=True)
class NumberSummary:
    """A number in one group, pooled over sites.

    Parameters
    ----------
    column
        As its owners declare it.
    group
        Level of the column grouped by; empty without one.
    n
        Sum of the sites' rounded counts.
    mean, variance, std
        Of the pooled values, in the column's unit; the variance divided by n - 1. NaN
        where no site contributes.
    quantiles
        By probability, interpolated in the pooled histogram on the owner's grid; NaN
        where rule 7 stops it.
    edges, counts
        Histogram of at most the layout's number of bins, on the owner's grid.
    sites
        Number of sites that contribute: the others' cells are suppressed.
    """

    column: Column
    group: str
    n: int
    mean: float
    variance: float
    std: float
    quantiles: dict[float, float]
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    sites: int


@dataclass(frozen=True)
class LevelSummary:
    """A category or binary in one group, pooled over sites.

    Parameters
    ----------
    column
        As its owners declare it.
    group
        Level of the column grouped by; empty without one.
    n
        Sum of all counts.
    counts
        Sum of the sites' rounded counts, by level.
    proportions
        Counts over their sum, by level; NaN where the sum is 0.
    sites
        Number of sites that contribute, by level.
    """

    column: Column
    group: str
    n: int
    counts: dict[str, int]
    proportions: dict[str, float]
    sites: dict[str, int]


Summary = NumberSummary | LevelSummary


def summarise(
    layout: StatisticsLayout,
    total: NDArray[np.float64],
    *,
    sites: int,
    profile: Profile,
) -> tuple[Summary, ...]:
    """Return the pooled statistics of a sum of vectors.

    Parameters
    ----------
    layout
        Of the vectors.
    total
        Their sum, shape (layout.size,).
    sites
        Number of vectors in the sum.
    profile
        Of the contract: the threshold on each side of a quantile.

    Raises
    ------
    InputError
        The sum does not fit the layout.
    """
    columns = {column.name: column for column in layout.columns}
    found: list[Summary] = []
    for (name, group), cell in layout.decode(total).items():
        if isinstance(cell, NumberCell):
            context = (layout, sites, profile)
            found.append(_number(columns[name], group, cell, context))
        else:
            found.append(_levels(columns[name], group, cell, sites))
    return tuple(found)


def _number(
    column: Column,
    group: str,
    cell: NumberCell,
    context: tuple[StatisticsLayout, int, Profile],
) -> NumberSummary:
    layout, sites, profile = context
    n = round(cell.n)
    mean, variance = _moments(column, cell, n)
    grid = column.grid()
    # the encoding's step may leave a count of -1e-9
    counts = np.maximum(cell.grid, 0.0)
    quantiles = {
        p: q if check_quantile(p, n, profile).allow else math.nan
        for p, q in zip(
            layout.quantiles, interpolate(grid, counts, layout.quantiles), strict=True
        )
    }
    starts = range(0, counts.size, math.ceil(counts.size / layout.bins))
    merged = np.round(np.add.reduceat(counts, list(starts)), 6)
    return NumberSummary(
        column=column,
        group=group,
        n=n,
        mean=mean,
        variance=variance,
        std=math.sqrt(variance),
        quantiles=quantiles,
        edges=(*(grid[i] for i in starts), grid[-1]),
        counts=tuple(merged.tolist()),
        sites=sites - round(cell.suppressed),
    )


def _moments(column: Column, cell: NumberCell, n: int) -> tuple[float, float]:
    """Return mean and variance (n - 1) in the column's unit; NaN without patients."""
    if n < 1:
        return math.nan, math.nan
    span = column.upper - column.lower
    mean = cell.total / n
    spread = max(cell.squares / n - mean**2, 0.0)
    variance = spread * n / (n - 1) * span**2 if n > 1 else math.nan
    return column.lower + mean * span, variance


def _levels(column: Column, group: str, cell: LevelCell, sites: int) -> LevelSummary:
    levels = levels_of(column)
    counts = [int(n) for n in np.rint(cell.counts)]
    n = sum(counts)
    hidden = [int(s) for s in np.rint(cell.suppressed)]
    return LevelSummary(
        column=column,
        group=group,
        n=n,
        counts=dict(zip(levels, counts, strict=True)),
        proportions={
            level: count / n if n else math.nan
            for level, count in zip(levels, counts, strict=True)
        },
        sites={level: sites - h for level, h in zip(levels, hidden, strict=True)},
    )

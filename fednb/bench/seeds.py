"""Figures over seeds, for the science benches."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scipy.stats import t as student

from fednb.bench.report import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN: Final = -0.02
"""What a paired difference must exclude."""


@dataclass(frozen=True)
class Figure:
    """One figure over all seeds.

    Attributes
    ----------
    figure
        What it is.
    mean
        Over the seeds.
    each
        One value a seed.
    target
        How far it falls short of what is asked; None: shown for comparison.
    """

    figure: str
    mean: float
    each: str
    target: Target | None = None


def figure_of(name: str, values: Sequence[float], least: float | None = None) -> Figure:
    """Return the mean of one value a seed, held against what is asked of it.

    Parameters
    ----------
    name
        Of the figure.
    values
        One a seed.
    least
        What the mean must reach; None: shown for comparison.
    """
    mean = statistics.fmean(values)
    target = None
    if least is not None:
        target = Target(name, max(least - mean, 0.0), 0.0, "short")
    return Figure(name, mean, _each(values), target)


def paired_figure(name: str, differences: Sequence[float]) -> Figure:
    """Return a mean difference, its interval held against `MARGIN`.

    Parameters
    ----------
    name
        Of the figure.
    differences
        One a seed; a single one has no interval, and is only shown.
    """
    if len(differences) < 2:
        return figure_of(name, differences)
    low, high = interval(differences)
    each = f"{_each(differences)}; 95 % CI {low:.4f} to {high:.4f}"
    target = Target(name, max(MARGIN - low, 0.0), 0.0, "short of -.02")
    return Figure(name, statistics.fmean(differences), each, target)


def interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return Student's confidence interval of a mean difference.

    Parameters
    ----------
    differences
        One a seed, at least 2.
    level
        Within (0, 1).
    """
    n = len(differences)
    mean = statistics.fmean(differences)
    half = statistics.stdev(differences) / math.sqrt(n)
    half *= float(student.ppf(0.5 + level / 2, n - 1))
    return mean - half, mean + half


def _each(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)

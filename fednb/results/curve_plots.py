"""Plots of step functions with bands, and the numbers at risk below the axes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.results.parts import new_axes, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BAND = 0.18
_FIRST_POINTS = 36
_LINE_POINTS = 12
_LINE_INCHES = _LINE_POINTS / 72


@dataclass(frozen=True, eq=False)
class Steps:
    """A step function to draw.

    Attributes
    ----------
    label
        For the legend; empty: none.
    time, value, lower, upper
        Steps and pointwise bounds, shape (m,).
    start
        Value before the first time.
    """

    label: str
    time: Floats
    value: Floats
    lower: Floats
    upper: Floats
    start: float


def draw_band(
    axes: Axes, time: Floats, bounds: tuple[Floats, ...], label: str | None = None
) -> None:
    """Draw one step function with its band.

    Parameters
    ----------
    axes
        Drawn on.
    time
        Where a step begins, shape (n,).
    bounds
        Value, lower and upper bound from there on, shape (n,) each.
    label
        For the legend.
    """
    value, lower, upper = bounds
    (line,) = axes.step(time, value, where="post", label=label)
    axes.fill_between(
        time,
        lower,
        upper,
        step="post",
        alpha=_BAND,
        color=line.get_color(),
        linewidth=0,
    )


def draw_steps(
    steps: Sequence[Steps],
    ax: Axes | None,
    *,
    end: float,
    labels: tuple[str, str],
    below: int = 0,
) -> Axes:
    """Draw step functions with bands, and return the axes.

    Parameters
    ----------
    steps
        One a line.
    ax
        Axes to draw on; None for a new figure.
    end
        Where the time axis ends.
    labels
        Of the axes, x and y.
    below
        Lines for which a new figure has room below the axes.
    """
    axes = new_axes(ax)
    figure = axes.get_figure(root=True)
    if ax is None and below and figure is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + _LINE_INCHES * below)
    for one in steps:
        time = np.append(0.0, one.time)
        value, lower, upper = (
            np.append(one.start, part) for part in (one.value, one.lower, one.upper)
        )
        label = plain(one.label) if one.label else None
        draw_band(axes, time, (value, lower, upper), label)
    axes.set_xlim(0, end)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(plain(labels[0]))
    axes.set_ylabel(labels[1])
    if any(one.label for one in steps):
        axes.legend()
    return axes


def at_risk_table(
    axes: Axes,
    groups: Sequence[str],
    shown: Callable[[str, list[float]], list[str]],
    title: str,
) -> None:
    """Write numbers at risk below the ticks, a line a group.

    Parameters
    ----------
    axes
        With a time axis from 0.
    groups
        In order; empty labels are not written.
    shown
        Returns a group's numbers at given times.
    title
        Above them.
    """
    end = axes.get_xlim()[1]
    ticks = [float(tick) for tick in axes.get_xticks() if 0 <= tick <= end]
    axes.set_xticks(ticks)
    # lines are as far apart as text is high, whatever the figure's size
    down = functools.partial(
        axes.annotate,
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        annotation_clip=False,
        fontsize=8,
    )
    down(title, (0, 0), (0, -_FIRST_POINTS), ha="left", va="top")
    for number, group in enumerate(groups):
        height = -_FIRST_POINTS - _LINE_POINTS * (number + 1)
        for tick, count in zip(ticks, shown(group, ticks), strict=True):
            down(count, (tick, 0), (0, height), ha="center", va="top")
        if group:
            down(plain(group), (0, 0), (-24, height), ha="right", va="top")

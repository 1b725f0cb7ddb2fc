"""Effects that change with time, drawn; and where to look for them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import UnknownNameError
from fednb.records.formula import term_text
from fednb.records.time_varying import ALWAYS, window_text
from fednb.results.curve_plots import draw_band
from fednb.results.parts import new_axes, plain
from fednb.survival.formula import Terms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.survival.episodes import Steps
    from fednb.survival.ph_test import PhTest

    Floats = NDArray[np.float64]

Labels = tuple[str, str]
"""Of the time axis and of the effect's."""


def draw_effect(
    steps: Steps, covariate: str, bounds: Floats, ax: Axes | None, *, labels: Labels
) -> Axes:
    """Draw one covariate's effect over time with its intervals.

    Parameters
    ----------
    steps
        Of the fit's columns, in their order.
    covariate
        Name of the column without its intervals.
    bounds
        Coefficient, lower and upper bound of each column, shape (3, p).
    ax
        Axes to draw on; None for a new figure.
    labels
        Of the two axes.

    Raises
    ------
    UnknownNameError
        No effect of that name changes with time.
    """
    places = [
        j
        for j, (name, window) in enumerate(zip(steps.names, steps.windows, strict=True))
        if window != ALWAYS and name == f"{covariate}:{window_text(window)}"
    ]
    if not places:
        kind = "effect that changes with time"
        raise UnknownNameError(kind, covariate, varying(steps))
    starts = [steps.windows[j][0] for j in places]
    # the last interval has no end: it is drawn as wide as the one before it
    widths = [b - a for a, b in pairwise(starts)]
    time = np.array([*starts, starts[-1] + widths[-1]])
    axes = new_axes(ax)
    draw_band(axes, time, tuple(bounds[:, [*places, places[-1]]]))
    axes.axhline(0.0, linestyle="--", color="grey", linewidth=1)
    axes.set_xlim(0, time[-1])
    axes.set_xlabel(plain(labels[0]))
    axes.set_ylabel(plain(labels[1]))
    return axes


def varying(steps: Steps) -> list[str]:
    """Return the covariates whose effects change with time."""
    found = [
        name.removesuffix(f":{window_text(window)}")
        for name, window in zip(steps.names, steps.windows, strict=True)
        if window != ALWAYS
    ]
    return list(dict.fromkeys(found))


def steps_text(steps: Steps) -> str:
    """Return the intervals in one line, a covariate after the other."""
    found: dict[str, list[str]] = {}
    for name, window in zip(steps.names, steps.windows, strict=True):
        if window != ALWAYS:
            text = window_text(window)
            found.setdefault(name.removesuffix(f":{text}"), []).append(text)
    return "; ".join(f"{name}: {', '.join(texts)}" for name, texts in found.items())


def advice(test: PhTest, terms: Terms | None, threshold: float) -> str:
    """Return what to do about effects that change with time; empty: nothing.

    Parameters
    ----------
    test
        Of proportional hazards.
    terms
        Of the fit; None: its columns are its terms.
    threshold
        Effects of a smaller p are told.
    """
    lines = []
    for name, p in zip(test.names, np.asarray(test.p_value).tolist(), strict=True):
        if p < threshold:
            term = _term_of(name, terms)
            lines.append(
                f"{name}: p = {p:.2g}, its effect changes with time. Next: "
                f'CoxPlan(..., time_varying={{"{term}": (t1, t2)}}) fits a coefficient '
                "for each interval between the times that you name."
            )
    return "\n".join(lines)


def _term_of(name: str, terms: Terms | None) -> str:
    if terms is None:
        return name
    for term in terms.terms:
        if name in Terms((term,), terms.columns, terms.levels).names():
            return term_text(term)
    return name

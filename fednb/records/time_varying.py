"""Effects that change with time: steps over intervals that a plan names."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fednb.errors import PlanError, UnknownNameError
from fednb.records.formula import Term, term_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Window = tuple[float, float]
"""A coefficient acts where ``start < t <= end``; the first start is 0."""

ALWAYS: Final[Window] = (0.0, math.inf)
MOST_CUTS: Final = 11


def settled_cuts(
    given: Mapping[str, Sequence[float]], terms: Sequence[Term]
) -> dict[str, tuple[float, ...]]:
    """Return the times at which effects change, by term.

    Parameters
    ----------
    given
        By term, as it is written in the formula or among the covariates.
    terms
        Of the plan.

    Raises
    ------
    UnknownNameError
        A term is not one of the plan's.
    PlanError
        Times do not ascend strictly from above 0, or are none or too many.
    """
    known = [term_text(term) for term in terms]
    found = {}
    for name, times in given.items():
        if name not in known:
            kind = "term of the plan"
            raise UnknownNameError(kind, name, known)
        cuts = tuple(float(time) for time in times)
        ascends = all(a < b < math.inf for a, b in pairwise((0.0, *cuts)))
        if not ascends or not 1 <= len(cuts) <= MOST_CUTS:
            message = (
                f"time_varying: {name!r} needs 1 to {MOST_CUTS} increasing times above "
                f"0, at which its effect changes; got {cuts}."
            )
            raise PlanError(message)
        found[name] = cuts
    return found


def windows(cuts: Sequence[float]) -> tuple[Window, ...]:
    """Return the intervals between cuts, the first from 0 and the last without end."""
    return tuple(pairwise((0.0, *cuts, math.inf)))


def window_text(window: Window) -> str:
    """Return an interval as coefficients are named by it: ``0-12``, ``24+``."""
    start, end = window
    return f"{start:g}+" if math.isinf(end) else f"{start:g}-{end:g}"

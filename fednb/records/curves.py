"""Survival curves: what is asked, and how large the answer is."""

from __future__ import annotations

import itertools
import math
from typing import Final

import msgspec
from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.specs import Needs, Phase, SummedPlan, typed

MAX_GROUPS: Final = 8
"""Groups whose curves can be told apart in one plot."""

MAX_INTERVALS: Final = 1200
"""Intervals of a grid: a century of months."""


class SurvivalPlan(SummedPlan, frozen=True):
    """Survival curves and tests between groups, from counts by interval.

    One plan brings Kaplan-Meier curves, medians, restricted means, log-rank tests
    (stratified by site) and, where there is a competing event, cumulative incidences.

    Attributes
    ----------
    duration, event
        Columns of follow-up times, from 0, and of 0/1 events.
    grid
        Ends of the intervals in the unit of `duration`, ascending from above 0, for
        example ``range(3, 61, 3)``. In the open profile counts are exact on this grid;
        elsewhere sites count on the grid that their owner declared for the column, in
        intervals that hold enough of their own patients, and the curve is read off at
        these times.
    by
        A category or binary column whose levels are compared; empty for none.
    entry
        A number column of times at which patients came under observation (left
        truncation); empty: all from 0.
    competing
        A binary column of events that rule the event out, such as death of other
        causes; empty for none. A patient with both has the event.

    Examples
    --------
    >>> plan = fednb.SurvivalPlan("os_months", "death", range(12, 61, 12), by="idh")
    >>> plan.grid
    (12.0, 24.0, 36.0, 48.0, 60.0)
    """

    duration: str
    event: str
    grid: tuple[float, ...]
    by: str = ""
    entry: str = ""
    competing: str = ""

    def __post_init__(self) -> None:
        """Accept any sequence as a grid; refuse one that does not ascend."""
        grid = tuple(float(end) for end in self.grid)
        msgspec.structs.force_setattr(self, "grid", grid)
        rising = all(a < b for a, b in itertools.pairwise(grid))
        if not grid or not rising or grid[0] <= 0 or not all(map(math.isfinite, grid)):
            shown = ", ".join(f"{end:g}" for end in grid[:5]) or "nothing"
            message = (
                "The grid holds the ends of intervals, ascending from above 0, such as "
                f"range(3, 61, 3); got {shown}."
            )
            raise PlanError(message)
        if len(grid) > MAX_INTERVALS:
            message = (
                f"A grid has at most {MAX_INTERVALS} intervals; got {len(grid)}. Use "
                "wider ones."
            )
            raise PlanError(message)
        typed(self)
        columns = [name for name in self._named() if name]
        doubled = sorted({name for name in columns if columns.count(name) > 1})
        if doubled or not self.duration or not self.event:
            message = (
                "A survival plan needs a duration and an event, and a column can be "
                f"only one thing; twice: {', '.join(doubled) or 'none'}."
            )
            raise PlanError(message)

    @property
    def causes(self) -> tuple[str, ...]:
        """The event, and the competing one if there is one."""
        return (self.event, self.competing) if self.competing else (self.event,)

    @override
    def phases(self) -> tuple[Phase, ...]:
        groups = MAX_GROUPS if self.by else 1
        size = curves_size(groups, len(self.causes), len(self.grid))
        return (Phase("curves", size),)

    @override
    def needs(self) -> Needs:
        kinds: Needs = {self.duration: ("number",), self.event: ("binary",)}
        if self.by:
            kinds[self.by] = ("category", "binary")
        if self.entry:
            kinds[self.entry] = ("number",)
        if self.competing:
            kinds[self.competing] = ("binary",)
        return kinds

    def _named(self) -> tuple[str, ...]:
        return (self.duration, self.event, self.by, self.entry, self.competing)


def curves_size(groups: int, causes: int, intervals: int) -> int:
    """Return the number of elements of a site's part.

    For each group: patients, sites, numbers at risk. For each cause and group: sites,
    deaths and numbers at risk. For each cause: the log-rank test.
    """
    test = groups + groups * (groups + 1) // 2
    return groups * (2 + intervals) + causes * (groups * (1 + 2 * intervals) + test)

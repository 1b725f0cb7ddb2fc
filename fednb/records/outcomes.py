"""What a network learns to predict, where that is more than one column."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.datasets import Column

MOST_INTERVALS: Final = 60
"""Intervals of follow-up at most."""


class Survival(Record, frozen=True):
    """Learn log-hazards from follow-up times and deaths.

    Attributes
    ----------
    duration, event
        Columns of follow-up times and of 0/1 events.
    loss
        ``"deep-cox"``: the partial likelihood of all sites together, exact in every
        batch: a round begins with one more secure sum, from which each site derives
        the baseline hazard at the weights of the round. ``"partial-likelihood"``: of
        each site by itself, with risk sets inside the batch. ``"discrete-time"``: the
        chance to die within each interval, complementary log-log; its baseline is part
        of the network.
    ties
        ``"efron"`` or ``"breslow"``; discrete time has none.
    intervals
        Upper ends of the intervals of follow-up, in the column's unit; the first
        begins at 0, and later times count to the last. Sites replace times by them, and
        merge those with too few of their own exits. Empty: the grid that the owners
        declared for `duration`, of which they are ends in any case outside the open
        profile. The partial likelihood of each site needs none.

    Examples
    --------
    >>> target = fednb.Survival("os_months", "death")
    >>> fednb.TrainingPlan("small-cnn-3d", target).outcome
    ('os_months', 'death')
    """

    duration: str
    event: str
    loss: Literal["deep-cox", "partial-likelihood", "discrete-time"] = "deep-cox"
    ties: Literal["efron", "breslow"] = "efron"
    intervals: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse intervals that do not increase, or that the loss has no use for."""
        ends = tuple(float(end) for end in self.intervals)
        msgspec.structs.force_setattr(self, "intervals", ends)
        increasing = all(0 < low < high for low, high in pairwise(ends))
        finite = all(math.isfinite(end) and end > 0 for end in ends)
        if not (increasing and finite) or len(ends) > MOST_INTERVALS:
            message = (
                f"intervals must be at most {MOST_INTERVALS} increasing times above 0; "
                f"got {ends}."
            )
            raise PlanError(message)
        if ends and not self.stepped:
            message = (
                "The partial likelihood of each site needs no intervals: leave them "
                "out, or use loss='deep-cox'."
            )
            raise PlanError(message)

    @property
    def stepped(self) -> bool:
        """Whether times are replaced by intervals."""
        return self.loss != "partial-likelihood"

    @property
    def summed(self) -> bool:
        """Whether each round begins with a sum over all sites."""
        return self.loss == "deep-cox"

    @override
    def __str__(self) -> str:
        return f"survival ({self.duration}, {self.event})"


def settle_target(target: str | Survival, columns: Sequence[Column]) -> str | Survival:
    """Return a target that leaves nothing open, or refuse it.

    Parameters
    ----------
    target
        Of a training plan.
    columns
        Its columns as the owners declare them.

    Raises
    ------
    PlanError
        A column is of another kind, or a loss needs intervals and there is no grid.
    """
    if isinstance(target, str):
        _check_kind("target", columns[0], "binary", "binary (0 and 1)")
        return target
    duration, event = columns
    _check_kind("duration", duration, "number", "a number")
    _check_kind("event", event, "binary", "binary (0 and 1)")
    if target.intervals or not target.stepped:
        return target
    ends = [end for end in duration.grid()[1:] if end > 0]
    every = math.ceil(len(ends) / MOST_INTERVALS)
    # from the last end backwards, so that the follow-up's whole range is covered
    chosen = ends[::-1][:: max(every, 1)][::-1]
    if len(chosen) < 2:
        message = (
            f"Column {duration.name!r} has no grid from which intervals could be made; "
            "name them: intervals=(...)."
        )
        raise PlanError(message)
    return msgspec.structs.replace(target, intervals=tuple(chosen))


def _check_kind(what: str, column: Column, kind: str, wanted: str) -> None:
    if column.kind != kind:
        message = f"The {what} must be {wanted}; {column.name!r} is {column.kind}."
        raise PlanError(message)

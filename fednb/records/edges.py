"""Edges that a requester names: outside the open profile they are the owners'.

Who can slide the end of an interval, or a knot, finds single patients: a count changes,
or a refusal turns into an answer, where one of them is passed. So outside the open
profile every such number is one of the grid that the owners declared for the column,
to the last bit: one that were only near it would part the patients who lie on it.
Drafts are moved onto the grid (`on_owners_grid`), and each site refuses what is not
(`check_edges`). Curves need no such rule: sites count them on their owners' grid and
read them off at the times that a plan names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from fednb.errors import PlanError, UnknownNameError
from fednb.records.assessment import AssessmentPlan
from fednb.records.heads import CoxPlan, HeadPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fednb.records.datasets import Column
    from fednb.records.formula import Term
    from fednb.records.tasks import AnyPlan

FIXED_BINS: Final = 20
"""Bins of an assessment divide this, so that edges of one plan lie among another's."""

_SHOWN: Final = 3
_NEAR: Final = 1e-9
"""Share of a step within which a number was meant to be an edge."""


class Edges(NamedTuple):
    """Numbers that a plan names in the unit of a column.

    Attributes
    ----------
    what
        ``"times"``, ``"knots"`` or ``"bounds"``.
    column
        Whose grid they lie on.
    values
        As the plan names them.
    """

    what: str
    column: str
    values: tuple[float, ...]


def edges_of(plan: AnyPlan) -> Iterator[Edges]:
    """Yield the edges that a plan names.

    Parameters
    ----------
    plan
        Any plan; one that names a network has the edges of its training.
    """
    if isinstance(plan, EvaluationPlan | EmbeddingPlan):
        plan = plan.model.training
    if isinstance(plan, TrainingPlan) and plan.survival is not None:
        yield Edges("times", plan.survival.duration, plan.survival.intervals)
    elif isinstance(plan, AssessmentPlan):
        yield Edges("times", plan.duration, plan.times)
        yield from _knots(plan.model.terms())
        for name, bounds in plan.model.bounds.items():
            yield Edges("bounds", name, bounds)
    elif isinstance(plan, HeadPlan):
        yield from _knots(plan.terms())
    if isinstance(plan, CoxPlan):
        yield Edges("times", plan.duration, plan.grid)
        for cuts in plan.time_varying.values():
            yield Edges("times", plan.duration, cuts)


def _knots(terms: Sequence[Term]) -> Iterator[Edges]:
    for factor in (factor for term in terms for factor in term):
        yield Edges("knots", factor.name, factor.knots)


def check_edges(plan: AnyPlan, columns: Sequence[Column]) -> None:
    """Refuse edges that a requester could slide; the open profile has no need to.

    Parameters
    ----------
    plan
        Of a contract outside the open profile.
    columns
        As the owners declare them.

    Raises
    ------
    PlanError
        Times, knots or bins are others than sites count on.
    UnknownNameError
        A column is not declared.
    """
    if isinstance(plan, AssessmentPlan) and FIXED_BINS % plan.bins:
        message = (
            f"Outside the open profile bins divide {FIXED_BINS}; got {plan.bins}. "
            "Edges that could be slid would find single patients."
        )
        raise PlanError(message)
    for edges in edges_of(plan):
        found = _moved(edges, columns)
        # a spline bends at a knot and does not jump: there near is near enough
        if edges.what == "times" and found != edges.values:
            _refuse(edges, _column(edges, columns))


def on_owners_grid(plan: AnyPlan, columns: Sequence[Column]) -> AnyPlan:
    """Return the plan with times that are near an edge of the owners' moved onto it.

    Parameters
    ----------
    plan, columns
        As for `check_edges`.

    Raises
    ------
    PlanError, UnknownNameError
        As for `check_edges`.
    """

    def moved(name: str, values: tuple[float, ...]) -> tuple[float, ...]:
        return _moved(Edges("times", name, values), columns)

    changes: dict[str, object] = {}
    if isinstance(plan, TrainingPlan) and plan.survival is not None:
        ends = moved(plan.survival.duration, plan.survival.intervals)
        changes["target"] = msgspec.structs.replace(plan.survival, intervals=ends)
    elif isinstance(plan, AssessmentPlan):
        changes["times"] = times = moved(plan.duration, plan.times)
        places = [plan.times.index(t) for t in plan.at if t in plan.times]
        changes["at"] = tuple(times[place] for place in places)
    elif isinstance(plan, CoxPlan):
        changes["grid"] = moved(plan.duration, plan.grid)
        changes["time_varying"] = {
            term: moved(plan.duration, cuts) for term, cuts in plan.time_varying.items()
        }
    if changes:
        plan = msgspec.structs.replace(plan, **changes)
    check_edges(plan, columns)
    return plan


def _moved(edges: Edges, columns: Sequence[Column]) -> tuple[float, ...]:
    """Return the edges of the owners' grid that are meant, or refuse."""
    if not edges.values:
        return ()
    column = _column(edges, columns)
    grid, near = column.grid(), _NEAR * column.step
    found = []
    for value in edges.values:
        place = (value - column.lower) / column.step
        edge = grid[round(min(max(place, 0), len(grid) - 1))]
        if not math.isclose(value, edge, rel_tol=0.0, abs_tol=near):
            _refuse(Edges(edges.what, edges.column, (value,)), column)
        found.append(edge)
    return tuple(found)


def _column(edges: Edges, columns: Sequence[Column]) -> Column:
    for column in columns:
        if column.name == edges.column:
            return column
    raise UnknownNameError("column", edges.column, (c.name for c in columns))


def _refuse(edges: Edges, column: Column) -> None:
    grid = column.grid()
    shown = ", ".join(f"{edge:g}" for edge in grid[:_SHOWN])
    more = " ..." if len(grid) > _SHOWN else ""
    stray = next(value for value in edges.values if value not in grid)
    message = (
        f"Outside the open profile {edges.what} lie on the owners' grid of "
        f"{column.name!r} ({shown}{more}); {stray!r} does not. Name ends of that grid, "
        "or leave them out."
    )
    raise PlanError(message)

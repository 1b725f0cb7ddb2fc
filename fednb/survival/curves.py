"""Survival curves over sites: what a contract fixes, and the layout of the sums.

One round brings all: every site's counts by group, cause and interval, and its part of
the log-rank test stratified by site, in one vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from fednb.errors import InputError, PlanError
from fednb.records.curves import MAX_GROUPS, curves_size
from fednb.survival.logrank import LogRankSums, logrank_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.curves import SurvivalPlan
    from fednb.records.datasets import Column
    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class CurveTables:
    """Counts of one site, or totals over sites.

    Parameters
    ----------
    patients
        In each group, shape (G,).
    sites
        That show each group, shape (G,).
    at_risk
        At the beginning of each interval, shape (G, J).
    shown
        Sites that show the deaths of each cause and group, shape (C, G).
    deaths
        Shape (C, G, J).
    exposed
        At risk among the patients of the sites in `shown`, shape (C, G, J).
    tests
        One a cause, stratified by site.
    """

    patients: Floats
    sites: Floats
    at_risk: Floats
    shown: Floats
    deaths: Floats
    exposed: Floats
    tests: tuple[LogRankSums, ...]

    @classmethod
    def blank(cls, groups: int, causes: int, intervals: int) -> Self:
        """Return tables of nobody."""
        size = curves_size(groups, causes, intervals)
        return cls.from_vector(np.zeros(size), (groups, causes, intervals))

    def to_vector(self) -> Floats:
        """Return the fields one after the other; `curves_size` elements."""
        arrays = (
            self.patients,
            self.sites,
            self.at_risk,
            self.shown,
            self.deaths,
            self.exposed,
        )
        parts = [np.ravel(array) for array in arrays]
        return np.concatenate([*parts, *(test.to_vector() for test in self.tests)])

    @classmethod
    def from_vector(cls, vector: Floats, shape: tuple[int, int, int]) -> Self:
        """Read the layout of `to_vector`.

        Parameters
        ----------
        vector
            From a site, or summed. What a sum in fixed point moves is put right: no
            more deaths than patients at risk, nothing below 0.
        shape
            Groups, causes and intervals.

        Raises
        ------
        InputError
            The length does not fit.
        """
        values = np.asarray(vector, dtype=np.float64)
        groups, causes, intervals = shape
        if values.shape != (curves_size(*shape),):
            message = (
                f"A vector of shape {values.shape} does not hold curves of {groups} "
                f"groups, {causes} causes and {intervals} intervals."
            )
            raise InputError(message)
        cells = groups * intervals
        sizes = (groups, groups, cells, causes * groups, causes * cells, causes * cells)
        cuts = np.cumsum((*sizes, *[logrank_size(groups)] * causes))[:-1]
        parts = np.split(values, cuts)
        counts = [np.maximum(part, 0.0) for part in parts[:6]]
        by_cause = (causes, groups, intervals)
        exposed = counts[5].reshape(by_cause)
        return cls(
            patients=counts[0],
            sites=np.rint(counts[1]),
            at_risk=counts[2].reshape(groups, intervals),
            shown=np.rint(counts[3].reshape(causes, groups)),
            deaths=np.minimum(counts[4].reshape(by_cause), exposed),
            exposed=exposed,
            tests=tuple(LogRankSums.from_vector(part, groups) for part in parts[6:]),
        )


@dataclass(frozen=True)
class CurveStage:
    """Where curves stand.

    Attributes
    ----------
    phase
        ``"curves"``, then ``"done"``.
    tables
        Totals over the sites, once there are some.
    """

    phase: Literal["curves", "done"] = "curves"
    tables: CurveTables | None = None


@dataclass(frozen=True)
class CurveDesign:
    """What a contract fixes about curves.

    Attributes
    ----------
    ends
        Of the intervals at which curves are read.
    owner_ends
        Of the intervals that the owners declared for the duration: where a profile
        rounds, counts are made on these alone, whatever is asked, so that another grid
        brings nothing new.
    labels
        Of the groups; one empty label without groups.
    causes
        The event, and the competing one.
    precision
        To which log-rank sums are rounded (disclosure rule 20); 0: exact.
    """

    ends: tuple[float, ...]
    owner_ends: tuple[float, ...]
    labels: tuple[str, ...]
    causes: tuple[str, ...]
    precision: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of groups, causes and intervals."""
        return len(self.labels), len(self.causes), len(self.ends)

    def replay(self, history: Sequence[Floats]) -> CurveStage:
        """Return where the step stands after the totals of `history`.

        Raises
        ------
        InputError
            There are more totals than rounds, or one does not fit.
        """
        stage = CurveStage()
        for total in history:
            if stage.phase == "done":
                message = "The curves are finished; no further round is answered."
                raise InputError(message)
            tables = CurveTables.from_vector(total, self.shape)
            stage = replace(stage, phase="done", tables=tables)
        return stage


def curve_design(
    plan: SurvivalPlan, columns: Sequence[Column], precision: float
) -> CurveDesign:
    """Return what a contract fixes about curves, the same at every participant.

    Parameters
    ----------
    plan
        The curves.
    columns
        Declarations in the contract.
    precision
        Of the contract.

    Raises
    ------
    PlanError
        The duration may be negative, or there are too many groups.
    """
    declared = {column.name: column for column in columns}
    duration = declared[plan.duration]
    if duration.lower < 0:
        message = (
            f"Column {plan.duration!r} is declared from {duration.lower:g} on; time "
            "runs from 0. Ask the owners to correct negative times and declare lower=0."
        )
        raise PlanError(message)
    labels = group_labels(declared[plan.by]) if plan.by else ("",)
    if not 0 < len(labels) <= MAX_GROUPS:
        message = (
            f"Column {plan.by!r} has {len(labels)} levels; curves compare 1 to "
            f"{MAX_GROUPS}. Group by a column with fewer."
        )
        raise PlanError(message)
    ends = tuple(end for end in duration.grid() if end > 0)
    return CurveDesign(plan.grid, ends, labels, plan.causes, precision)


def group_labels(column: Column) -> tuple[str, ...]:
    """Return the groups of a category or binary column."""
    return ("0", "1") if column.kind == "binary" else column.levels

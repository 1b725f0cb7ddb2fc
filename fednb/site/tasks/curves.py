"""Survival curves at a site: counts by group, cause and interval that may be summed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import DatasetError, InputError
from fednb.privacy.cells import check_threshold
from fednb.privacy.intervals import safe_at_risk, safe_deaths
from fednb.privacy.rounding import round_count
from fednb.privacy.rules import PRECISION
from fednb.records.curves import SurvivalPlan
from fednb.site.tasks.table import codes, numbers, table_of
from fednb.survival.curves import CurveTables
from fednb.survival.intervals import SurvivalRows, interval_counts
from fednb.survival.logrank import LogRankSums, logrank_sums
from fednb.survival.merged import Knots, at_risk_at, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fednb.privacy.intervals import Merged
    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.survival.curves import CurveDesign, CurveStage
    from fednb.survival.intervals import IntervalCounts

    Floats = NDArray[np.float64]


class Curves:
    """Curves at one site.

    Parameters
    ----------
    job
        Plan and table.
    design
        What the contract fixes.
    columns
        Declarations in the contract.

    Raises
    ------
    DatasetError
        The plan is another one, or times are negative or not after their entries.
    """

    def __init__(
        self, job: Job, design: CurveDesign, columns: Sequence[Column]
    ) -> None:
        plan = job.plan
        if not isinstance(plan, SurvivalPlan):
            message = f"{type(plan).__name__} asks for no curves."
            raise DatasetError([message])
        self._design = design
        declared = {column.name: column for column in columns}
        self._rows = _rows(job, plan, design, declared)

    def vector(
        self, stage: CurveStage, profile: Profile
    ) -> tuple[Floats, tuple[Decision, ...]]:
        """Return this site's counts and its part of the log-rank test.

        Returns
        -------
        vector
            As `CurveTables.to_vector` lays it out; safe by itself.
        decisions
            Verdicts of the rules; where one denies, the vector must not leave.
        """
        del stage
        enough = check_threshold(self._rows.time.size, profile)
        if not enough.allow:
            return np.zeros(0), (enough,)
        if profile.exact:
            return self._exact().to_vector(), (enough,)
        tables, decisions = self._safe(profile)
        return tables.to_vector(), (enough, *decisions)

    def _count(self, ends: Sequence[float]) -> IntervalCounts:
        groups, causes, _ = self._design.shape
        return interval_counts(self._rows, ends, groups=groups, causes=causes)

    def _exact(self) -> CurveTables:
        """Return counts as they are, on the plan's grid."""
        found = self._count(self._design.ends)
        groups, causes, _ = self._design.shape
        at_risk = found.at_risk.astype(np.float64)
        return CurveTables(
            patients=found.patients.astype(np.float64),
            sites=np.ones(groups),
            at_risk=at_risk,
            shown=np.ones((causes, groups)),
            deaths=found.deaths.astype(np.float64),
            exposed=np.repeat(at_risk[None], causes, axis=0),
            tests=tuple(logrank_sums(died, at_risk) for died in found.deaths),
        )

    def _safe(self, profile: Profile) -> tuple[CurveTables, list[Decision]]:
        """Return counts of merged intervals of the owner's grid, rounded and spread."""
        design = self._design
        found = self._count(design.owner_ends)
        tables = CurveTables.blank(*design.shape)
        decisions: list[Decision] = []
        shown = np.zeros(len(design.labels), dtype=np.bool_)
        for group, patients in enumerate(found.patients.tolist()):
            tables.patients[group] = round_count(patients, profile)
            shown[group] = tables.patients[group] > 0
            if shown[group]:
                tables.sites[group] = 1
                decisions += self._group(group, found, tables, profile)
        parts = [_test(died, found, shown, design.precision) for died in found.deaths]
        reason = f"log-rank sums leave in steps of {design.precision:g}"
        decisions.append(PRECISION.decide(reason, profile, allow=True))
        return replace(tables, tests=tuple(parts)), decisions

    def _group(
        self, group: int, found: IntervalCounts, tables: CurveTables, profile: Profile
    ) -> tuple[Decision, ...]:
        """Fill in one group's part of the tables."""
        ends = self._design.ends
        edges = np.concatenate([[0.0], found.ends])
        risk = found.at_risk[group]
        at_risk = safe_at_risk(edges, risk, found.exits[group], profile)
        if at_risk.value is None:
            return at_risk.decisions
        decisions = at_risk.decisions
        knots = _knots(at_risk.value)
        tables.at_risk[group] = at_risk_at(knots, [0.0, *ends[:-1]])
        for cause, died in enumerate(found.deaths):
            deaths = safe_deaths(edges, risk, died[group], profile)
            decisions += deaths.decisions
            if deaths.value is not None:
                there = spread(knots, _knots(deaths.value), ends)
                tables.shown[cause, group] = 1
                tables.deaths[cause, group], tables.exposed[cause, group] = there
        return decisions


def _knots(merged: Merged) -> Knots:
    return Knots(merged.time, merged.count.astype(np.float64))


def _test(
    deaths: NDArray[np.intp],
    found: IntervalCounts,
    shown: NDArray[np.bool_],
    precision: float,
) -> LogRankSums:
    """Return the test among groups of enough patients, rounded as a score (rule 20)."""
    kept = shown[:, None]
    sums = logrank_sums(deaths * kept, found.at_risk * kept)
    # adding zero turns -0.0 into 0.0, whose sign would tell a direction
    values = np.rint(sums.to_vector() / precision) * precision + 0.0
    return LogRankSums.from_vector(values, shown.size)


def _rows(
    job: Job, plan: SurvivalPlan, design: CurveDesign, declared: dict[str, Column]
) -> SurvivalRows:
    """Return the patients with complete values."""
    table = table_of(job)
    time = numbers(table, declared[plan.duration])
    happened = [numbers(table, declared[name]) for name in plan.causes]
    cause = np.zeros(time.size)
    # the first named cause has the last word
    for number in range(len(happened), 0, -1):
        cause[happened[number - 1] == 1] = number
    group = np.zeros(time.size, dtype=np.int64)
    if plan.by:
        group = codes(table, declared[plan.by], design.labels)
    entry = numbers(table, declared[plan.entry]) if plan.entry else None
    columns = [time, *happened, *([] if entry is None else [entry])]
    whole = np.isfinite(np.column_stack(columns)).all(axis=1) & (group >= 0)
    # the split holds the patients that the rules let the step have
    whole &= np.isin(np.arange(time.size), np.concatenate(list(job.split.values())))
    if whole.sum() < job.threshold:
        # not even an error may tell of so few
        whole[:] = False
    late = None if entry is None else entry[whole]
    try:
        return SurvivalRows.of(time[whole], cause[whole], group[whole], late)
    except InputError as error:
        raise DatasetError([str(error)]) from error

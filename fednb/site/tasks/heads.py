"""Cox and logistic heads at a site: one round of `fednb.survival.protocol`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import DatasetError
from fednb.privacy.disclosure import check_dominance, round_count
from fednb.privacy.metrics import MILLION, safe_spread
from fednb.privacy.profiles import MAX_LEVERAGE, MAX_PARAMETER_SHARE
from fednb.privacy.rules import INTERVALS, PARAMETERS, THRESHOLD
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.site.tasks.moments import safe_locations
from fednb.site.tasks.periods import (
    check_grid,
    check_own,
    check_pooled,
    period_moments,
    squares_share,
)
from fednb.site.tasks.table import table_of
from fednb.site.tasks.taken import (
    check_follow_up,
    design_columns,
    load_embedding,
    rows_of,
    taken,
)
from fednb.survival.concordance import pair_counts
from fednb.survival.episodes import split
from fednb.survival.formula import column_bounds, level_codes
from fednb.survival.grid import GridRows, Survival
from fednb.survival.linear import linear
from fednb.survival.logistic import logistic_sums
from fednb.survival.pairs import spread_of
from fednb.survival.ph_test import ph_sums
from fednb.survival.riskset import RiskSets
from fednb.survival.rows import check_rows
from fednb.survival.sandwich import meat_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.survival.protocol import HeadDesign, HeadState

    Floats = NDArray[np.float64]
    Table = Mapping[str, NDArray[np.generic]]


@dataclass(eq=False)
class _Rows:
    """Complete rows of some patients: raw columns of the design, and the outcome.

    The columns are built when they are asked for, from those of the table.
    """

    build: Callable[[], Floats]
    survival: Survival
    time: Floats
    event: Floats

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.event)


class Head:
    """A head at one site; keeps its rows sorted between the rounds of a run.

    Parameters
    ----------
    job
        The first call's job: plan, table, split and embedding.
    design
        What the contract fixes.
    columns
        Declarations in the contract.

    Raises
    ------
    DatasetError
        A time is negative, a weight is not positive, or a patient enters at or after
        the exit: the owner has to correct the table.
    """

    def __init__(self, job: Job, design: HeadDesign, columns: Sequence[Column]) -> None:
        plan = job.plan
        if not isinstance(plan, CoxPlan | LogisticPlan):
            message = f"{type(plan).__name__} is not a head."
            raise DatasetError([message])
        self._plan = plan
        self._least = job.threshold
        self._design = design
        self._columns = {column.name: column for column in columns}
        table = table_of(job)
        self._embedding = load_embedding(job, plan)
        self._fit = self._rows(table, job.split, plan.fit_on)
        self._test: _Rows | None = None
        if plan.evaluate_on != "none":
            self._test = self._rows(table, job.split, plan.evaluate_on)
        self._z: Floats | None = None
        self._leverage: float | None = None
        self._sets: RiskSets | None = None
        self._on_grid: GridRows | None = None

    def vector(
        self, state: HeadState, profile: Profile
    ) -> tuple[Floats, tuple[Decision, ...]]:
        """Return this site's part of what `state` asks for, after the rules.

        Returns
        -------
        vector
            Moments, likelihood sums, outer products, hazard sums or pair counts.
        decisions
            Verdicts of the rules; where one denies, the vector must not leave.
        """
        rows = self._test if state.phase == "metrics" else self._fit
        if rows is None:
            message = "This head is not evaluated."
            raise DatasetError([message])
        decisions = self._check(rows, state, profile)
        if not all(d.allow for d in decisions):
            return np.zeros(0), decisions
        if state.phase == "moments":
            return self._moments(rows, profile), decisions
        if state.phase == "metrics":
            return self._metrics(rows, state, profile), decisions
        return self._evaluation(rows, state), decisions

    def _rows(
        self, table: Table, split: Mapping[str, tuple[int, ...]], part: str
    ) -> _Rows:
        index = rows_of(split, part)
        here = taken(table, self._plan.needs(), index)
        # not of this object: it would be let go only when cycles are looked for
        parts = (self._design.terms, self._design.cox.steps, self._embedding)
        build = partial(design_columns, parts, here, index)
        finite = np.isfinite(build()).all(axis=1)
        plan = self._plan
        if isinstance(plan, LogisticPlan):
            event = _numbers(here, plan.target)
            whole = finite & np.isfinite(event)
            rows = Survival(event[whole], event[whole])
            return _Rows(partial(build, whole), rows, event[whole], event[whole])
        found = {
            "time": _numbers(here, plan.duration),
            "event": _numbers(here, plan.event),
        }
        if plan.entry:
            found["entry"] = _numbers(here, plan.entry)
        if plan.weights:
            bounds = column_bounds(self._columns[plan.weights])
            found["weights"] = np.clip(_numbers(here, plan.weights), *bounds)
        if plan.strata_columns:
            found["strata"] = self._strata(here, len(index))
        whole = np.asarray(finite)
        for values in found.values():
            np.logical_and(whole, np.isfinite(values), out=whole)
        kept = {name: values[whole] for name, values in found.items()}
        check_follow_up(kept, self._least)
        survival = Survival(**kept)
        return _Rows(partial(build, whole), survival, kept["time"], kept["event"])

    def _strata(self, table: Table, n: int) -> Floats:
        """Return codes of the strata, NaN where a label is missing or none of them."""
        cox = self._design.cox
        found = np.zeros(n)
        for name, levels in zip(cox.strata, cox.levels, strict=True):
            codes = level_codes(table[name], self._columns[name], levels)
            found = found * len(levels) + np.where(codes >= 0, codes, np.nan)
        return found

    def _check(
        self, rows: _Rows, state: HeadState, profile: Profile
    ) -> tuple[Decision, ...]:
        n, least = rows.n, profile.threshold
        reason = f"{n} patients with complete values; the threshold is {least}."
        found = [THRESHOLD.decide(reason, profile, allow=n >= least)]
        if rows.survival.weights is not None:
            # totals of weighted rows are the row of whoever holds the weight
            weights = np.asarray(rows.survival.weights, dtype=np.float64)
            found.append(check_dominance(weights, profile))
        if profile.name == "open":
            return tuple(found)
        if state.phase == "moments":
            if self._design.cox.grid:
                found.append(check_grid(self._design.cox, rows.survival, profile))
            if self._design.cox.steps:
                spans = self._design.cox.steps.windows
                found.append(check_own(spans, rows.survival, profile))
            return tuple(found)
        columns = len(state.names(self._design))
        reason = (
            f"{columns} coefficients for {state.n} patients over all sites; at most "
            f"{MAX_PARAMETER_SHARE:.0%} are allowed."
        )
        few = columns <= MAX_PARAMETER_SHARE * state.n
        found.append(PARAMETERS.decide(reason, profile, allow=few))
        found.append(self._check_levels(state, profile))
        found += check_pooled(self._design, state, profile)
        if state.phase != "metrics":
            found.append(self._check_leverage(state, profile))
        if state.deaths is not None and state.deaths.size:
            fewest = int(state.deaths.min())
            reason = f"{fewest} deaths of all sites in an interval; {least} are needed."
            found.append(INTERVALS.decide(reason, profile, allow=fewest >= least))
        return tuple(found)

    def _check_levels(self, state: HeadState, profile: Profile) -> Decision:
        """Whether each binary column has both values often enough over all sites."""
        least = profile.threshold
        rarest, name = float(state.n), "no column"
        for place, j in enumerate(state.kept):
            if self._design.binary[j] and state.scale is not None:
                share = float(state.scale.mean[place])
                patients = state.n if state.observed is None else state.observed[place]
                rare = float(patients * min(share, 1 - share))
                if rare < rarest:
                    rarest, name = rare, self._design.names[j]
        reason = (
            f"About {rarest:.0f} patients of all sites have the rarer value of {name}; "
            f"{least} are needed."
        )
        return PARAMETERS.decide(reason, profile, allow=round(rarest) >= least)

    def _check_leverage(self, state: HeadState, profile: Profile) -> Decision:
        """Whether no patient stands apart on a column: a site knows its own rows.

        z^2 / n on a standardised column is at most a patient's leverage, whatever the
        other columns are; a unit made to answer to one patient comes near 1.
        """
        if self._leverage is None:
            self._leverage = self._largest_leverage(state)
        largest = self._leverage
        reason = (
            f"A patient's leverage is at least {largest:.2f} on a column; at most "
            f"{MAX_LEVERAGE:.2f} is allowed."
        )
        return PARAMETERS.decide(reason, profile, allow=largest <= MAX_LEVERAGE)

    def _largest_leverage(self, state: HeadState) -> float:
        z = self._standardised(state)
        if state.observed is None:
            largest = float(max(z.max(initial=0.0), -z.min(initial=0.0)))
            return largest**2 / max(state.n, 1)
        spans = self._design.cox.steps.taken(state.kept)
        return squares_share(z, spans, self._fit.survival, state.observed)

    def _standardised(self, state: HeadState) -> Floats:
        if self._z is None:
            self._z = state.standardise(self._fit.build(), self._design)
        return self._z

    def _moments(self, rows: _Rows, profile: Profile) -> Floats:
        z = rows.build()
        places = zip(self._design.center, self._design.half, strict=True)
        for j, (center, half) in enumerate(places):
            z[:, j] = (z[:, j] - center) / half
        n, events = rows.n, int(rows.event.sum())
        if self._design.cox.steps:
            whole = [round_count(n, profile), round_count(events, profile)]
            moments = period_moments(z, self._design, rows.survival, profile)
            return np.concatenate([whole, moments])
        deaths = np.zeros(0)
        if self._design.cox.grid:
            deaths = self._gridded(rows, z).deaths()
        if profile.name == "open":
            squares = np.einsum("ij,ij->j", z, z)
            return np.concatenate([[n, events], z.sum(axis=0), squares, deaths])
        mean, std = safe_locations(z, self._design, profile)
        shown = round_count(n, profile)
        parts = [shown * mean, shown * (std**2 + mean**2), deaths]
        return np.concatenate([[shown, round_count(events, profile)], *parts])

    def _evaluation(self, rows: _Rows, state: HeadState) -> Floats:
        """Return what is asked at the coefficients that the history leads to."""
        beta, step = _trial(state), self._design.precision
        if isinstance(self._plan, LogisticPlan):
            sums = logistic_sums(self._standardised(state), rows.event, beta)
            return sums.rounded(step).to_vector()
        cox = self._design.cox
        if state.phase == "baseline" or not (cox.by_site or state.phase == "ungrouped"):
            return self._pooled(rows, state, beta)
        if state.phase == "ph_test":
            return self._ph_test(rows, state, beta)
        if self._sets is None:
            self._sets = self._risk_sets(rows, state)
        if state.phase == "robust":
            return meat_vector(self._sets.residuals(beta, cox.ties), step)
        return self._sets.sums(beta, cox.ties).rounded(step).to_vector()

    def _risk_sets(self, rows: _Rows, state: HeadState) -> RiskSets:
        """Sort the rows; the sets have columns of their own, so others are let go."""
        z, survival = self._standardised(state), rows.survival
        self._z = None
        if self._design.cox.steps:
            z, survival = split(z, self._design.cox.steps.taken(state.kept), survival)
        return RiskSets(
            z,
            survival.time,
            survival.event,
            survival.entry,
            survival.weights,
            survival.strata,
        )

    def _ph_test(self, rows: _Rows, state: HeadState, beta: Floats) -> Floats:
        """Return sums of the test of proportional hazards."""
        cox, step, survival = self._design.cox, self._design.precision, rows.survival
        if cox.ph_test == "none":
            message = "No test was asked for."
            raise DatasetError([message])
        # the unit of time is public; with the follow-up's bound sums stay small
        unit = cox.longest if cox.ph_test == "identity" else 1.0
        entry = survival.entry
        table = check_rows(
            rows.n,
            rows.time / unit,
            rows.event,
            None if entry is None else np.asarray(entry) / unit,
            survival.weights,
            survival.strata,
        )
        z = self._standardised(state)
        sums = ph_sums(z, table, beta, transform=cox.ph_test, ties=cox.ties)
        vector = sums.to_vector()
        return vector if step == 0 else np.rint(vector / step) * step + 0.0

    def _pooled(self, rows: _Rows, state: HeadState, beta: Floats) -> Floats:
        """Return sums on the grid of the contract."""
        step, cox = self._design.precision, self._design.cox
        if self._on_grid is None:
            self._on_grid = self._gridded(rows, self._standardised(state))
        if state.deaths is None:
            message = "The fit was not begun."
            raise DatasetError([message])
        if state.phase == "robust" and state.pooled is not None:
            residuals = self._on_grid.residuals(
                beta, state.pooled, state.deaths, cox.ties
            )
            return meat_vector(residuals, step)
        if state.phase == "baseline":
            hazards = self._on_grid.hazards(beta)
            return hazards if step == 0 else np.rint(hazards / step) * step + 0.0
        return self._on_grid.totals(beta).rounded(step).to_vector()

    def _gridded(self, rows: _Rows, z: Floats) -> GridRows:
        cox = self._design.cox
        return GridRows(z, rows.survival, cox.grid, cox.groups)

    def _metrics(self, rows: _Rows, state: HeadState, profile: Profile) -> Floats:
        z = state.standardise(rows.build(), self._design)
        risk = linear(z, _trial(state))
        cox = self._design.family == "cox"
        outcome = (rows.time if cox else None, rows.event, risk)
        pairs, spread = pair_counts(*outcome), spread_of(*outcome)
        events = int(rows.event.sum())
        counts = (rows.n, events, pairs.concordant, pairs.tied, pairs.comparable)
        shown = [float(round_count(count, profile)) for count in counts]
        fewest = events if cox else min(events, rows.n - events)
        left = safe_spread(spread / MILLION, shown[-1], profile, fewest=fewest)
        return np.array([*shown, left])


def _numbers(table: Table, name: str) -> Floats:
    return np.asarray(table[name], dtype=np.float64)


def _trial(state: HeadState) -> Floats:
    if state.newton is None:
        message = "The fit was not begun."
        raise DatasetError([message])
    return state.newton.trial

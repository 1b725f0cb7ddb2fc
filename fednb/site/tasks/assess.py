"""A finished model's assessment at a site; see `fednb.survival.assessment`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import DatasetError
from fednb.privacy.cells import check_dominance
from fednb.privacy.joint import held, safe_joint
from fednb.privacy.rounding import round_count, significant
from fednb.privacy.rules import PARAMETERS, THRESHOLD
from fednb.records.assessment import AssessmentPlan
from fednb.site.tasks.gains import gains
from fednb.site.tasks.moments import safe_location
from fednb.site.tasks.pairs import (
    Placed,
    Rows,
    close_sums,
    per_patient,
    rounded,
    short,
    weighted_pairs,
)
from fednb.site.tasks.table import table_of
from fednb.site.tasks.taken import load_embedding, rows_of, taken
from fednb.survival.censoring import intervals_of
from fednb.survival.decision_curve import threshold_cells
from fednb.survival.linear import linear
from fednb.survival.logistic import logistic_sums
from fednb.survival.meta_analysis import effect_sums, logit, mean_sums
from fednb.survival.pairs import PairSums, survival_pairs
from fednb.survival.pooled_concordance import cross_part, joint_table
from fednb.survival.riskset import RiskSets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.survival.assessment import AssessmentDesign, AssessmentState

    Floats = NDArray[np.float64]
    Members = NDArray[np.bool_]

_TENTH = 0.1


class Assess:
    """An assessment at one site; keeps its rows between the rounds of a run.

    Parameters
    ----------
    job
        The first call's job: plan, table, split and embedding.
    design
        What the contract fixes.
    columns
        Declarations in the contract.
    """

    def __init__(
        self, job: Job, design: AssessmentDesign, columns: Sequence[Column]
    ) -> None:
        plan = job.plan
        if not isinstance(plan, AssessmentPlan):
            message = f"{type(plan).__name__} assesses nothing."
            raise DatasetError([message])
        self._plan = plan
        self._design = design
        self._columns = {column.name: column for column in columns}
        self._table = table_of(job)
        self._rows = self._read(job, plan)
        self._placed: Placed | None = None
        self._sorted: RiskSets | None = None

    def vector(
        self, state: AssessmentState, profile: Profile
    ) -> tuple[Floats, tuple[Decision, ...]]:
        """Return this site's part of what `state` asks for, after the rules.

        Returns
        -------
        vector
            The phase's blocks; see `fednb.survival.assessment.AssessmentDesign`.
        decisions
            Verdicts of the rules; where one denies, the vector must not leave.
        """
        decisions = self._check(state, profile)
        if not all(d.allow for d in decisions):
            return np.zeros(0), decisions
        make = {
            "risk": self._risk,
            "joint": self._joint,
            "weighted": self._weighted,
            "slope": self._slope,
            "between": self._between,
        }[state.phase]
        blocks = make(state, profile)
        return self._design.layout(state.phase).join(blocks), decisions

    def _read(self, job: Job, plan: AssessmentPlan) -> Rows:
        """Return the rows that lack nothing."""
        index = rows_of(job.split, plan.on)
        x = self._columns_of(job, plan, index)
        centred = x - np.asarray(plan.model.center)
        coefficients = np.asarray(plan.model.coefficients)
        risk = linear(centred, coefficients) + plan.model.intercept
        time, event = self._outcome(plan, index)
        whole = np.isfinite(risk) & np.isfinite(time) & np.isfinite(event)
        of_table = x[:, x.shape[1] - plan.model.table_width() :]
        moved = np.column_stack([centred * coefficients, risk])
        return Rows(
            risk=risk[whole],
            time=time[whole],
            event=event[whole],
            index=index[whole],
            moved=moved[whole],
            binary=of_table[whole][:, list(self._design.binary)],
        )

    def _columns_of(
        self, job: Job, plan: AssessmentPlan, index: NDArray[np.intp]
    ) -> Floats:
        """Return the model's columns: of the embedding, then of the table."""
        parts = []
        embedding = load_embedding(job, plan)
        if embedding is not None:
            parts.append(embedding[index])
        here = taken(self._table, plan.model.columns(), index)
        if self._design.terms is not None:
            parts.append(self._design.terms.build(here, len(index)))
        return np.concatenate(parts, axis=1)

    def _outcome(
        self, plan: AssessmentPlan, index: NDArray[np.intp]
    ) -> tuple[Floats, Floats]:
        """Return times, 0 for a classifier, and events; nobody beyond the horizon."""
        if not self._design.cox:
            return np.zeros(len(index)), self._numbers(plan.target)[index]
        time = self._numbers(plan.duration)[index]
        event = self._numbers(plan.event)[index]
        horizon = self._design.grid[-1]
        late = time > horizon
        event = np.where(late & np.isfinite(event), 0.0, event)
        return np.where(late, np.nextafter(horizon, np.inf), time), event

    def _numbers(self, name: str) -> Floats:
        return np.asarray(self._table[name], dtype=np.float64)

    def _check(self, state: AssessmentState, profile: Profile) -> tuple[Decision, ...]:
        n = len(self._rows.risk)
        reason = f"{n} patients to assess; at least {profile.threshold} are needed"
        enough = THRESHOLD.decide(reason, profile, allow=n >= profile.threshold)
        if not enough.allow:
            return (enough,)
        found = [enough]
        for moved in self._rows.moved.T:
            apart = np.abs(moved - moved.mean())
            # with a column that moves one patient alone, totals tell that patient's
            if apart.max(initial=0.0) > _TENTH:
                found.append(check_dominance(apart**2, profile))
        if state.phase != "risk" and not profile.exact:
            found.append(self._check_levels(state, profile))
        if state.phase != "risk" and self._design.cox:
            # totals of exp(risk) at coefficients that single one patient out are hers
            hazards = np.exp(self._rows.risk - state.mean)
            found.append(check_dominance(hazards, profile))
        return tuple(found)

    def _check_levels(self, state: AssessmentState, profile: Profile) -> Decision:
        """Whether each 0/1 column has both values often enough over all sites (9, 23).

        As for fits: a column of a few patients would tell their outcomes.
        """
        rarest, name = float(state.n), "no column"
        ones = state.blocks["risk"]["ones"]
        for place, count in zip(self._design.binary, ones.tolist(), strict=True):
            rare = min(count, state.n - count)
            if rare < rarest and self._design.terms is not None:
                rarest, name = rare, self._design.terms.names()[place]
        reason = (
            f"About {rarest:.0f} patients of all sites have the rarer value of {name}; "
            f"{profile.threshold} are needed. Assess a model without that column."
        )
        allow = round(rarest) >= profile.threshold
        return PARAMETERS.decide(reason, profile, allow=allow)

    def _risk(self, state: AssessmentState, profile: Profile) -> Mapping[str, Floats]:
        del state
        rows = self._rows
        n, events = len(rows.risk), int(rows.event.sum())
        mean, std = float(rows.risk.mean()), float(rows.risk.std())
        if not profile.exact:
            # they only place the bins: two decimals are enough
            mean, std = round(mean, 2), round(std, 2)
            n, events = round_count(n, profile), round_count(events, profile)
        spread = np.array([n, events, n * mean, n * (std**2 + mean**2)])
        gone = [self._missing(name) for name in self._design.columns]
        counts = [np.any(gone, axis=0), *gone]
        missing = [round_count(int(m.sum()), profile) for m in counts]
        # as in the moments of a fit: few patients count as none
        columns = 2.0 * self._rows.binary.T - 1.0
        means = [safe_location(z, -1.0, profile, binary=True)[0] for z in columns]
        return {
            "spread": spread,
            "missing": np.asarray(missing, dtype=np.float64),
            "ones": n * (np.asarray(means, dtype=np.float64) + 1.0) / 2.0,
        }

    def _missing(self, name: str) -> Members:
        values = self._table[name]
        if values.dtype.kind == "f":
            return ~np.isfinite(np.asarray(values, dtype=np.float64))
        return np.asarray(values == "", dtype=np.bool_)

    def _place(self, state: AssessmentState, profile: Profile) -> Placed:
        if self._placed is None:
            rows, b = self._rows, self._plan.bins
            grid = np.asarray(self._design.grid)
            interval = intervals_of(rows.time, grid) if grid.size else rows.index * 0
            bins = state.bins_of(rows.risk, b)
            own = joint_table(interval, rows.event, bins, (grid.size + 1, b))
            self._placed = Placed(interval, bins, own, safe_joint(own, profile))
        return self._placed

    def _joint(self, state: AssessmentState, profile: Profile) -> Mapping[str, Floats]:
        rows, placed = self._rows, self._place(state, profile)
        everybody = np.ones(len(rows.risk), dtype=np.bool_)
        found = {
            "table": placed.shown,
            "pairs": self._pairs(everybody, state, profile),
            "effects": effect_sums(*self._effect(profile)),
            "levels": self._levels(state, profile),
        }
        if self._design.cox:
            hazards = np.exp(rows.risk - state.mean)
            found["hazards"] = self._at_risk(hazards, placed, profile)
            return found
        chance = 1.0 / (1.0 + np.exp(-np.clip(rows.risk, -700, 700)))
        sign = 2.0 * rows.event - 1.0
        losses = np.logaddexp(0.0, -sign * rows.risk).sum()
        squares = ((chance - rows.event) ** 2).sum()
        found["losses"] = rounded(np.array([losses, squares]), _TENTH, profile)
        cells = threshold_cells(chance, rows.event, self._plan.thresholds)
        # a requester slides thresholds at will: only the table's bins leave
        found["cells"] = cells if profile.exact else np.zeros_like(cells)
        found["predicted"] = self._by_bin(chance, placed, profile)
        return found

    def _at_risk(self, hazards: Floats, placed: Placed, profile: Profile) -> Floats:
        """Sum hazards at the start of each interval, exact where enough left since."""
        count = len(self._design.grid) + 1
        if self._plan.baseline:
            return np.zeros(count)
        of = np.bincount(placed.interval, weights=hazards, minlength=count)
        sums = np.append(of[::-1].cumsum()[::-1], 0.0)
        exits = np.bincount(placed.interval, minlength=count).astype(np.float64)
        sums = rounded(sums, _TENTH, profile)
        return held(sums, exits, profile, time=True)[:-1]

    def _by_bin(self, values: Floats, placed: Placed, profile: Profile) -> Floats:
        """Sum values in each bin, merged where a bin holds too few."""
        b = self._plan.bins
        sums = np.bincount(placed.bins, weights=values, minlength=b)
        running = rounded(np.concatenate([[0.0], np.cumsum(sums)]), _TENTH, profile)
        counts = np.bincount(placed.bins, minlength=b).astype(np.float64)
        along = placed.shown.sum(axis=(0, 1))
        return np.diff(held(running, counts, profile, along=along))

    def _pairs(
        self, members: Members, state: AssessmentState, profile: Profile
    ) -> Floats:
        """Sum pairs within the site, per patient of all sites."""
        rows = self._rows
        event = rows.event[members]
        if event.sum() < profile.threshold and not profile.exact:
            return PairSums.none().to_vector()
        found = survival_pairs(rows.time[members], event, rows.risk[members])
        return short(found, state, profile)

    def _effect(self, profile: Profile) -> tuple[float, float]:
        """Return the site's C (or AUC) on the logit scale, and its variance."""
        rows = self._rows
        if rows.event.sum() < profile.threshold and not profile.exact:
            return np.nan, np.nan
        found = survival_pairs(rows.time, rows.event, rows.risk)
        if found.comparable <= 0:
            return np.nan, np.nan
        effect, variance = logit(found.index, found.std_error)
        if profile.exact:
            return effect, variance
        return round(effect, 2), significant(variance, 2)

    def _levels(self, state: AssessmentState, profile: Profile) -> Floats:
        """Sum each subgroup; one that is too small takes the next smallest along."""
        masks = [self._members(name, label) for name, label in self._design.levels]
        found = np.zeros((len(masks), 2 + len(PairSums.none().to_vector())))
        for name in self._plan.subgroups:
            here = [i for i, (c, _) in enumerate(self._design.levels) if c == name]
            sizes = {i: int(masks[i].sum()) for i in here}
            kept = [i for i in here if sizes[i] >= max(profile.threshold, 1)]
            # subtraction from the total would give back a single one left out
            alone = len(here) - len(kept) == 1 and not profile.exact
            if alone and kept:
                kept.remove(min(kept, key=lambda i: (sizes[i], i)))
            for i in kept:
                events = int(self._rows.event[masks[i]].sum())
                counts = [round_count(c, profile) for c in (sizes[i], events)]
                pairs = self._pairs(masks[i], state, profile)
                found[i] = np.concatenate([counts, pairs])
        return found

    def _members(self, name: str, label: str) -> Members:
        values = self._table[name][self._rows.index]
        wanted = float(label) if values.dtype.kind == "f" else label
        return np.asarray(values == wanted, dtype=np.bool_)

    def _weighted(
        self, state: AssessmentState, profile: Profile
    ) -> Mapping[str, Floats]:
        placed = self._place(state, profile)
        total = state.blocks["joint"]["table"]
        cross = [
            cross_part(kernel, placed.own, placed.shown, total)
            for kernel in state.kernels(self._design)
        ]
        rows = self._rows
        pairs, same = weighted_pairs(rows, placed, state, profile)
        found = {
            "cross": per_patient(np.array(cross), state, profile),
            "same": same,
            "pairs": pairs,
        }
        if self._design.cox:
            grid = np.asarray(self._design.grid)
            found["close"] = close_sums(rows, placed, grid, state, profile)
            found.update(self._predictions(state, placed, profile))
        return found

    def _predictions(
        self, state: AssessmentState, placed: Placed, profile: Profile
    ) -> dict[str, Floats]:
        """Sum gains over Kaplan-Meier, predicted deaths by bin, and expected deaths."""
        if state.curves is None or state.hazard is None:
            message = "The pooled curves are not known yet."
            raise DatasetError([message])
        log_hazard = self._rows.risk - state.mean
        hazards = np.exp(log_hazard)
        predicted = [
            self._by_bin(1.0 - np.exp(-hazards * state.hazard[at]), placed, profile)
            for at in state.at
        ]
        reached = np.minimum(placed.interval, len(state.hazard) - 1)
        expected = float((hazards * state.hazard[reached]).sum())
        return {
            "brier": gains(self._rows, placed.interval, state, profile),
            "predicted": np.array(predicted),
            "expected": rounded(np.array([expected]), _TENTH, profile),
        }

    def _slope(self, state: AssessmentState, profile: Profile) -> Mapping[str, Floats]:
        del profile
        if state.newton is None:
            message = "The slope's fit was not begun."
            raise DatasetError([message])
        rows, beta = self._rows, state.newton.trial
        z = ((rows.risk - state.mean) / state.std)[:, None]
        if self._design.cox:
            if self._sorted is None:
                self._sorted = RiskSets(z, rows.time, rows.event)
            sums = self._sorted.sums(beta, "efron")
        else:
            design = np.column_stack([z, np.ones(len(z))])
            sums = logistic_sums(design, rows.event, beta)
        return {"sums": sums.rounded(self._design.precision).to_vector()}

    def _between(
        self, state: AssessmentState, profile: Profile
    ) -> Mapping[str, Floats]:
        tau2 = state.between.tau2 if state.between else 0.0
        return {"mean": mean_sums(*self._effect(profile), tau2)}

"""Cox and logistic heads at a site: one round of `fednb.survival.protocol`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

from fednb.errors import DatasetError
from fednb.privacy.disclosure import round_count
from fednb.privacy.profiles import MAX_PARAMETER_SHARE
from fednb.privacy.rules import PARAMETERS
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.outputs import Decision
from fednb.site.tasks.table import table_of
from fednb.survival.concordance import auc_counts, concordance_counts
from fednb.survival.logistic import logistic_sums
from fednb.survival.protocol import column_bounds
from fednb.survival.riskset import RiskSets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.assessment import AssessmentPlan
    from fednb.records.datasets import Column
    from fednb.records.heads import HeadPlan
    from fednb.site.tasks.job import Job
    from fednb.survival.protocol import HeadDesign, HeadState

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Complete rows of some patients: raw columns, times and events (or labels)."""

    x: Floats
    time: Floats
    event: Floats


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
    """

    def __init__(self, job: Job, design: HeadDesign, columns: Sequence[Column]) -> None:
        plan = job.plan
        if not isinstance(plan, CoxPlan | LogisticPlan):
            message = f"{type(plan).__name__} is not a head."
            raise DatasetError([message])
        self._plan = plan
        self._design = design
        self._columns = {column.name: column for column in columns}
        table = table_of(job)
        self._embedding = load_embedding(job, plan)
        self._fit = self._rows(table, job.split, plan.fit_on)
        self._test: _Rows | None = None
        if plan.evaluate_on != "none":
            self._test = self._rows(table, job.split, plan.evaluate_on)
        self._sorted: RiskSets | Floats | None = None

    def vector(
        self, state: HeadState, profile: Profile
    ) -> tuple[Floats, tuple[Decision, ...]]:
        """Return this site's part of what `state` asks for, after the rules.

        Returns
        -------
        vector
            Moments, likelihood sums or pair counts.
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
        if state.phase == "score":
            return self._score(rows, state), decisions
        return self._metrics(rows, state, profile), decisions

    def _rows(
        self,
        table: Mapping[str, NDArray[np.generic]],
        split: Mapping[str, tuple[int, ...]],
        part: str,
    ) -> _Rows:
        names = ("train", "validation", "test") if part == "all" else (part,)
        index = np.sort(np.concatenate([np.asarray(split[n], int) for n in names]))
        if isinstance(self._plan, CoxPlan):
            duration, event = self._plan.duration, self._plan.event
        else:
            duration, event = self._plan.target, self._plan.target
        time = np.asarray(table[duration], dtype=np.float64)[index]
        outcome = np.asarray(table[event], dtype=np.float64)[index]
        parts = [] if self._embedding is None else [self._embedding[index]]
        for name in self._plan.covariates:
            low, high = column_bounds(self._columns[name])
            values = np.asarray(table[name], dtype=np.float64)[index]
            parts.append(np.clip(values, low, high)[:, None])
        x = np.concatenate(parts, axis=1) if parts else np.zeros((len(index), 0))
        whole = np.isfinite(x).all(axis=1) & np.isfinite(time) & np.isfinite(outcome)
        return _Rows(x[whole], time[whole], outcome[whole])

    def _check(
        self, rows: _Rows, state: HeadState, profile: Profile
    ) -> tuple[Decision, ...]:
        n, least = len(rows.x), profile.threshold
        enough = Decision(
            allow=n >= least,
            rule="disclosure.2-threshold",
            reason=f"{n} patients with complete values; the threshold is {least}.",
            threshold=float(least),
        )
        if state.phase == "moments" or profile.name == "open":
            return (enough,)
        columns = len(state.names(self._design))
        few = Decision(
            allow=columns <= MAX_PARAMETER_SHARE * state.n,
            rule=PARAMETERS.label,
            reason=f"{columns} coefficients for {state.n} patients over all sites; at "
            f"most {MAX_PARAMETER_SHARE:.0%} are allowed.",
            version=PARAMETERS.version,
            threshold=MAX_PARAMETER_SHARE,
        )
        return (enough, few)

    def _moments(self, rows: _Rows, profile: Profile) -> Floats:
        z = (rows.x - np.asarray(self._design.center)) / np.asarray(self._design.half)
        n, events = len(z), int(rows.event.sum())
        if profile.name == "open":
            squares = np.einsum("ij,ij->j", z, z)
            return np.concatenate([[n, events], z.sum(axis=0), squares])
        # location and scale only set the units of the fit: two decimals are enough
        mean, std = np.round(z.mean(axis=0), 2), np.round(z.std(axis=0), 2)
        shown = round_count(n, profile)
        parts = [shown * mean, shown * (std**2 + mean**2)]
        return np.concatenate([[shown, round_count(events, profile)], *parts])

    def _score(self, rows: _Rows, state: HeadState) -> Floats:
        if state.newton is None:
            message = "The fit was not begun."
            raise DatasetError([message])
        beta = state.newton.trial
        if self._sorted is None:
            design = state.standardise(rows.x, self._design)
            self._sorted = (
                RiskSets(design, rows.time, rows.event)
                if self._design.family == "cox"
                else design
            )
        if isinstance(self._sorted, RiskSets):
            ties = self._plan.ties if isinstance(self._plan, CoxPlan) else "efron"
            sums = self._sorted.sums(beta, ties)
        else:
            sums = logistic_sums(self._sorted, rows.event, beta)
        return sums.rounded(self._design.precision).to_vector()

    def _metrics(self, rows: _Rows, state: HeadState, profile: Profile) -> Floats:
        if state.newton is None:
            message = "The fit was not begun."
            raise DatasetError([message])
        risk = state.standardise(rows.x, self._design) @ state.newton.trial
        if self._design.family == "cox":
            pairs = concordance_counts(rows.time, rows.event, risk)
        else:
            pairs = auc_counts(rows.event, risk)
        counts = (
            len(rows.x),
            int(rows.event.sum()),
            pairs.concordant,
            pairs.tied,
            pairs.comparable,
        )
        return np.asarray([round_count(c, profile) for c in counts], dtype=np.float64)


def load_embedding(job: Job, plan: HeadPlan | AssessmentPlan) -> Floats | None:
    """Return a model's features from stored embeddings, shape (n, width)."""
    if plan.features == "none" or not job.embedding:
        return None
    path = Path(job.work) / "embeddings" / job.embedding
    if not path.is_file():
        raise DatasetError([f"The embeddings {job.embedding} are not at this site."])
    stored = load_file(path)
    if plan.features == "score":
        return np.asarray(stored["score"], dtype=np.float64).reshape(-1, 1)
    return np.asarray(stored["embedding"], dtype=np.float64)

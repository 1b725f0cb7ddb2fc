"""The rounds of an assessment, and what a contract fixes about it.

Round 1 sums the spread of the risk, from which its bins follow; round 2 the joint table
of event, interval and bin, and exact pairs within sites; round 3 what rests on the
pooled curves: pairs across sites, inverse-probability weights, predictions; then a
one-column fit for the slope; last, the mean over sites at the variance between them.
What comes next is a pure function of the totals so far (disclosure rule 19).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.censoring import GridCurves, followed, grid_curves
from fednb.survival.close_pairs import CLOSE_SUMS
from fednb.survival.layout import Layout
from fednb.survival.meta_analysis import Heterogeneity, heterogeneity
from fednb.survival.newton import NewtonOptions, NewtonState, start, update
from fednb.survival.pairs import PAIR_SUMS
from fednb.survival.pooled_concordance import Kernel, survival_kernel, time_kernel
from fednb.survival.sums import LikelihoodSums, vector_length
from fednb.survival.uno import uno_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fednb.records.assessment import AssessmentPlan
    from fednb.survival.formula import Terms
    from fednb.survival.sums import Floats

AT_RISK_LEAST: Final = 10
"""Curves are cut where fewer are at risk (disclosure rule 10)."""

WELL_FOLLOWED: Final = 0.05
"""Share of all patients beyond the times that Uno's C and the default times use."""

HIDING_SITES: Final = 4
"""With fewer, the mean over sites would tell each site's estimate."""

MOST_SPREAD: Final = 4.0
"""Largest SD of the linear predictor outside the open profile.

At steeper coefficients a patient's prediction is 0 or 1, and sums of predictions count
patients beyond a plane of the requester's choice (the sliding hyperplane of rule 19).
"""

_LEVEL_SUMS = 2 + PAIR_SUMS


@dataclass(frozen=True)
class AssessmentDesign:
    """What a contract fixes about an assessment.

    Attributes
    ----------
    plan
        What is assessed, and how.
    grid
        Times, ascending; none for a logistic model.
    levels
        Subgroups: column and label, in order.
    columns
        Columns whose missing values are counted.
    precision, parts, step
        As for `fednb.survival.protocol.HeadDesign`.
    exact
        Whether the profile is the open one.
    terms
        How the covariates' columns come from those of the table; None: it has none.
    """

    plan: AssessmentPlan
    grid: tuple[float, ...]
    levels: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    precision: float = 0.0
    parts: int = 1
    step: float = 0.0
    exact: bool = False
    terms: Terms | None = None

    @property
    def binary(self) -> tuple[int, ...]:
        """Columns of the terms that hold 0 and 1, and that the model uses."""
        if self.terms is None:
            return ()
        width = len(self.terms.names())
        # of a fit to come in the same contract any may be used
        coefficients = (self.plan.model.coefficients or (1.0,) * width)[-width:]
        flags = zip(self.terms.binary(), coefficients, strict=True)
        return tuple(j for j, (binary, b) in enumerate(flags) if binary and b != 0)

    @property
    def cox(self) -> bool:
        """Whether the model is one of survival."""
        return self.plan.model.family == "cox"

    @property
    def followed_least(self) -> int:
        """Patients beyond a time at which a curve is shown, over all sites."""
        # what a site merges at its end is spread over times that it does not tell
        return AT_RISK_LEAST if self.exact else AT_RISK_LEAST * self.parts

    def layout(self, phase: str) -> Layout:
        """Return what a phase's vector holds."""
        return Layout(tuple(self._blocks(phase)))

    def _blocks(self, phase: str) -> list[tuple[str, tuple[int, ...]]]:
        plan, m, b = self.plan, len(self.grid), self.plan.bins
        if phase == "risk":
            missing = ("missing", (1 + len(self.columns),))
            return [("spread", (4,)), missing, ("ones", (len(self.binary),))]
        if phase == "joint":
            own: list[tuple[str, tuple[int, ...]]] = [("hazards", (m + 1,))]
            if not self.cox:
                cells = (2, len(plan.thresholds) + 1)
                own = [("losses", (2,)), ("cells", cells), ("predicted", (b,))]
            return [
                ("table", (2, m + 1, b)),
                ("pairs", (PAIR_SUMS,)),
                ("effects", (5,)),
                *own,
                ("levels", (len(self.levels), _LEVEL_SUMS)),
            ]
        if phase == "weighted":
            return self._weighted_blocks(m, b)
        if phase == "slope":
            return [("sums", (vector_length(1 if self.cox else 2),))]
        return [("mean", (2,))]

    def _weighted_blocks(self, m: int, b: int) -> list[tuple[str, tuple[int, ...]]]:
        e = self.plan.assessed_times()
        kinds = 2 + e if self.cox else 1
        blocks: list[tuple[str, tuple[int, ...]]] = [
            ("cross", (kinds, 3)),
            ("same", (kinds, 2)),
            ("pairs", (kinds - 1, PAIR_SUMS)),
        ]
        if self.cox:
            blocks += [("brier", (m,)), ("predicted", (e, b)), ("expected", (1,))]
            blocks.append(("close", (CLOSE_SUMS,)))
        return blocks

    def replay(self, history: Sequence[Floats]) -> AssessmentState:
        """Return where the assessment stands after the totals of `history`.

        Raises
        ------
        FitError
            There is nothing to assess: no spread of risk, no events.
        """
        state = AssessmentState()
        for total in history:
            if state.phase == "done":
                message = "The assessment is finished; no further round is answered."
                raise InputError(message)
            blocks = self.layout(state.phase).split(np.asarray(total))
            state = _STEPS[state.phase](self, state, blocks)
        return state


@dataclass(frozen=True, eq=False)
class AssessmentState:
    """Where an assessment stands.

    Attributes
    ----------
    phase
        What the next round asks for.
    n, events
        Patients and events (positives), rounded in most profiles.
    mean, std
        Of the linear predictor.
    blocks
        Totals so far, by phase and name.
    curves
        Survival and censoring on the grid.
    hazard
        Cumulative, at each grid time, of a patient of the mean linear predictor.
    at
        Numbers of the grid times of the AUC and of calibration.
    horizon
        How many grid times are well followed: Uno's C looks no further.
    between
        Variance between sites; None where fewer than two have an estimate.
    newton, options
        Of the slope's fit.
    refusal
        Why there is no slope; empty where there is one.
    """

    phase: str = "risk"
    n: int = 0
    events: int = 0
    mean: float = 0.0
    std: float = 1.0
    blocks: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    curves: GridCurves | None = None
    hazard: Floats | None = None
    at: tuple[int, ...] = ()
    horizon: int = 0
    between: Heterogeneity | None = None
    newton: NewtonState | None = None
    options: NewtonOptions | None = None
    refusal: str = ""

    @property
    def uno_weight(self) -> Floats:
        """Weight of a pair of Uno's C by the interval of its first death."""
        if self.curves is None:
            return np.zeros(0)
        return uno_weights(self.curves, self.horizon)

    def bins_of(self, risk: Floats, bins: int) -> np.ndarray:
        """Return the bin of each linear predictor: equal shares of a normal curve."""
        edges = [NormalDist().inv_cdf(k / bins) for k in range(1, bins)]
        return np.searchsorted(np.asarray(edges), (risk - self.mean) / self.std)

    def kernels(self, design: AssessmentDesign) -> tuple[Kernel, ...]:
        """Return the kernels of Harrell's C, then Uno's, then of each AUC."""
        ones = np.ones(len(design.grid) + 1)
        if self.curves is None:
            return (survival_kernel(ones),)
        weight = self.curves.death_weight
        times = (time_kernel(weight, at) for at in self.at)
        harrell = survival_kernel(ones, apart=True)
        return (harrell, survival_kernel(self.uno_weight), *times)


def _kept(
    state: AssessmentState, blocks: Mapping[str, Floats]
) -> dict[str, Mapping[str, Floats]]:
    return {**state.blocks, state.phase: blocks}


def _after_risk(
    design: AssessmentDesign, state: AssessmentState, blocks: Mapping[str, Floats]
) -> AssessmentState:
    n, events, total, squares = blocks["spread"].tolist()
    if round(n) < 2 or round(events) < 1:
        message = (
            f"There are {round(n)} patients and {round(events)} events over all sites; "
            "an assessment needs at least 2 and 1. Choose another part or outcome."
        )
        raise FitError(message)
    mean = total / n
    std = float(np.sqrt(max(squares / n - mean**2, 0.0)))
    if std < max(1e-9, design.step):
        message = "The model gives every patient the same risk; nothing is assessed."
        raise FitError(message)
    if std > MOST_SPREAD and not design.exact:
        message = (
            f"The linear predictor has a standard deviation of {std:.2f}; outside the "
            f"open profile at most {MOST_SPREAD:g} is assessed. Shrink the model."
        )
        raise FitError(message)
    return replace(
        state,
        phase="joint",
        n=round(n),
        events=round(events),
        mean=mean,
        std=std,
        blocks=_kept(state, blocks),
    )


def _after_joint(
    design: AssessmentDesign, state: AssessmentState, blocks: Mapping[str, Floats]
) -> AssessmentState:
    try:
        between = heterogeneity(blocks["effects"])
    except FitError:
        between = None
    state = replace(
        state, phase="weighted", blocks=_kept(state, blocks), between=between
    )
    if not design.cox:
        return state
    censored, deaths = blocks["table"].sum(axis=2)
    curves = grid_curves(deaths, censored)
    hazard = _hazard(design, state, curves, blocks["hazards"])
    horizon = max(followed(curves, design.followed_least, WELL_FOLLOWED), 1)
    at = _times(design, horizon)
    return replace(state, curves=curves, hazard=hazard, at=at, horizon=horizon)


def _hazard(
    design: AssessmentDesign,
    state: AssessmentState,
    curves: GridCurves,
    sums: Floats,
) -> Floats:
    """Return the cumulative hazard of a patient of the mean risk (Breslow's)."""
    if design.plan.baseline:
        given = np.asarray(design.plan.baseline, dtype=np.float64)
        return np.asarray(given * np.exp(state.mean))
    whole = sums[:-1]
    steps = np.divide(
        curves.deaths, whole, out=np.zeros_like(whole), where=whole > 1e-9
    )
    return np.asarray(np.cumsum(steps))


def _times(design: AssessmentDesign, horizon: int) -> tuple[int, ...]:
    if design.plan.at:
        return tuple(design.grid.index(t) for t in design.plan.at)
    count = design.plan.assessed_times()
    return tuple(max(round(horizon * (k + 1) / count) - 1, 0) for k in range(count))


def _after_weighted(
    design: AssessmentDesign, state: AssessmentState, blocks: Mapping[str, Floats]
) -> AssessmentState:
    options = NewtonOptions(
        precision=max(design.precision, design.step), parts=design.parts
    )
    newton = start(1 if design.cox else 2)
    return replace(
        state,
        phase="slope",
        blocks=_kept(state, blocks),
        newton=newton,
        options=options,
    )


def _after_slope(
    design: AssessmentDesign, state: AssessmentState, blocks: Mapping[str, Floats]
) -> AssessmentState:
    if state.newton is None or state.options is None:
        message = "The slope's fit was not begun."
        raise InputError(message)
    names = ("risk",) if design.cox else ("risk", "intercept")
    following = "between" if may_pool(design, state) else "done"
    try:
        sums = LikelihoodSums.from_vector(blocks["sums"], len(names))
        newton = update(state.newton, sums, state.options, names)
    except FitError as error:
        # a model that separates the patients has no slope; all else still stands
        return replace(state, phase=following, newton=None, refusal=str(error))
    phase = following if newton.converged else "slope"
    return replace(state, phase=phase, newton=newton)


def may_pool(design: AssessmentDesign, state: AssessmentState) -> bool:
    """Return whether the mean over sites may be asked for.

    With few sites the sums of both rounds could be solved for each site's estimate.
    """
    if state.between is None:
        return False
    return state.between.sites >= (2 if design.exact else HIDING_SITES)


def _after_between(
    design: AssessmentDesign, state: AssessmentState, blocks: Mapping[str, Floats]
) -> AssessmentState:
    del design
    return replace(state, phase="done", blocks=_kept(state, blocks))


_STEPS = {
    "risk": _after_risk,
    "joint": _after_joint,
    "weighted": _after_weighted,
    "slope": _after_slope,
    "between": _after_between,
}

"""From the totals of an assessment to its figures, each with the release it is from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import FitError
from fednb.survival.assessment import AT_RISK_LEAST, may_pool
from fednb.survival.brier import integrated, null_brier
from fednb.survival.calibration import (
    CalibrationGroups,
    class_groups,
    merge_bins,
    survival_groups,
)
from fednb.survival.censoring import followed
from fednb.survival.close_pairs import close_kernel
from fednb.survival.decision_curve import cells_between, net_benefit
from fednb.survival.meta_analysis import (
    Heterogeneity,
    RandomEffects,
    expit,
    logit,
    random_effects,
)
from fednb.survival.newton import covariance
from fednb.survival.pairs import PairSums
from fednb.survival.pooled_concordance import pooled_index
from fednb.survival.rounding import rounding_covariance
from fednb.survival.time_auc import mean_auc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.survival.assessment import AssessmentDesign, AssessmentState

    Floats = NDArray[np.float64]

_Z = 1.959963984540054
DECILES = 10
_NO_PAIRS = "no pairs: no site tells of ten events, or nobody is followed beyond"


@dataclass(frozen=True)
class Measure:
    """One figure.

    Attributes
    ----------
    name
        What it measures.
    value, low, high
        Estimate and 95 % interval; NaN where there is none.
    release
        Outputs that it is computed from, as the contract names them.
    note
        What to know when reading it.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    release: str = "joint"
    note: str = ""


@dataclass(frozen=True)
class Subgroup:
    """Discrimination within one level of a column, from pairs within sites."""

    column: str
    label: str
    n: int
    events: int
    index: Measure


@dataclass(frozen=True, eq=False)
class Curve:
    """Values over a grid: of the model, and of what it is compared with."""

    x: Floats
    model: Floats
    reference: Floats


@dataclass(frozen=True, eq=False)
class Performance:
    """All figures of an assessment.

    Attributes
    ----------
    measures
        In the order to show.
    calibration
        By time; of a logistic model at time NaN.
    brier
        Over time, against Kaplan-Meier's curve; None for a logistic model.
    decision
        Net benefit over thresholds, against treating everybody; None for a Cox model.
    subgroups
        Of the plan.
    between, pooled
        How sites differ, on the logit scale of the index; None where it is not known.
    follow_up
        Quartiles of the follow-up of a Cox model's patients, by the reverse
        Kaplan-Meier estimate (Schemper and Smith, Controlled Clinical Trials 17:343,
        1996); infinite beyond the times at which enough are followed.
    """

    measures: tuple[Measure, ...]
    calibration: tuple[tuple[float, CalibrationGroups], ...]
    brier: Curve | None
    decision: Curve | None
    subgroups: tuple[Subgroup, ...]
    between: Heterogeneity | None
    pooled: RandomEffects | None
    follow_up: tuple[float, ...] = ()


def performance_of(design: AssessmentDesign, state: AssessmentState) -> Performance:
    """Return the figures of a finished assessment.

    Parameters
    ----------
    design
        What the contract fixed.
    state
        After the last round.
    """
    brier = _brier(design, state) if design.cox else None
    decision = None if design.cox else _decision(design, state)
    measures = [*_discrimination(design, state)]
    if brier is not None:
        measures += _over_time(design, brier)
    else:
        measures += _losses(state)
    measures += [*_slope(design, state), *_ratio(design, state)]
    pooled = None
    if may_pool(design, state) and "between" in state.blocks and state.between:
        pooled = random_effects(state.between, state.blocks["between"]["mean"])
    return Performance(
        measures=tuple(measures),
        calibration=tuple(_calibration(design, state)),
        brier=brier,
        decision=decision,
        subgroups=tuple(_subgroups(design, state)),
        between=state.between,
        pooled=pooled,
        follow_up=_follow_up(design, state),
    )


def interval(value: float, std_error: float) -> tuple[float, float]:
    """Return the 95 % interval of a share, by the delta method on the logit scale."""
    center, variance = logit(value, std_error)
    reach = _Z * math.sqrt(variance) if variance >= 0 else math.nan
    if not math.isfinite(reach):
        return math.nan, math.nan
    return expit(center - reach), expit(center + reach)


def _discrimination(design: AssessmentDesign, state: AssessmentState) -> list[Measure]:
    within = PairSums.from_vector(state.blocks["joint"]["pairs"])
    weighted = [PairSums.from_vector(v) for v in state.blocks["weighted"]["pairs"]]
    every = [within, *weighted]
    if not design.cox:
        return _index("AUC", every[0], 0, design, state)
    times = [design.grid[at] for at in state.at]
    uno = f"Uno's C to {design.grid[state.horizon - 1]:g}"
    names = ["C", uno, *(f"AUC at {t:g}" for t in times)]
    found = []
    for kind, (name, pairs) in enumerate(zip(names, every, strict=True)):
        found += _index(name, pairs, kind, design, state)
    if state.curves is not None and len(times) > 1:
        values = np.array([_share(p) for p in every[2:]])
        known = np.isfinite(values)
        survival = state.curves.survival[list(state.at)]
        mean = mean_auc(values[known], survival[known]) if known.any() else math.nan
        note = "over the times above, weighted by who dies between them"
        found.append(Measure("mean AUC", mean, release="weighted", note=note))
    return found


def _share(pairs: PairSums) -> float:
    return pairs.index if pairs.comparable > 0 else math.nan


def _index(
    name: str,
    within: PairSums,
    kind: int,
    design: AssessmentDesign,
    state: AssessmentState,
) -> list[Measure]:
    """Return an index from pairs within sites, and from all pairs."""
    value, error = _share(within), within.std_error
    low, high = interval(value, error)
    release = "weighted" if kind else "joint"
    note = "" if math.isfinite(value) else _NO_PAIRS
    found = [Measure(f"{name}, pairs within sites", value, low, high, release, note)]
    if kind and note:
        # a table of merged times has patients beyond the last one that is followed
        every = f"{name}, all pairs"
        return [*found, Measure(every, math.nan, release=release, note=note)]
    blocks, table = state.blocks["weighted"], state.blocks["joint"]["table"]
    total = state.kernels(design)[kind](table, table) / state.n
    close = None
    if design.cox and not kind:
        close = blocks["close"].copy()
        close[:2] -= close_kernel(table, table) / state.n
    try:
        value = pooled_index(
            within, blocks["cross"][kind] - total, blocks["same"][kind], close
        )
    except FitError:
        value = math.nan
    low, high = interval(value, error)
    note = "interval of the pairs within sites, which are fewer: too wide, if anything"
    release = "joint, weighted"
    return [*found, Measure(f"{name}, all pairs", value, low, high, release, note)]


def _follow_up(design: AssessmentDesign, state: AssessmentState) -> tuple[float, ...]:
    """Return by when a quarter, half and three quarters would have been censored."""
    if state.curves is None:
        return ()
    most = followed(state.curves, design.followed_least)
    # at the times themselves: after the censorings of their intervals
    left = state.curves.uncensored[1 : most + 1]
    shares = (0.75, 0.5, 0.25)
    reached = [np.flatnonzero(left <= share + 1e-12) for share in shares]
    return tuple(design.grid[at[0]] if at.size else math.inf for at in reached)


def _brier(design: AssessmentDesign, state: AssessmentState) -> Curve | None:
    if state.curves is None:
        return None
    most = followed(state.curves, design.followed_least)
    table = state.blocks["joint"]["table"]
    everybody = table.sum(axis=(0, 2))
    beyond = everybody[::-1].cumsum()[::-1][1:]
    null = null_brier(state.curves, state.curves.deaths, beyond) / everybody.sum()
    model = null + state.blocks["weighted"]["brier"] / state.n
    grid = np.asarray(design.grid)
    return Curve(grid[:most], model[:most], null[:most])


def _over_time(design: AssessmentDesign, brier: Curve) -> list[Measure]:
    model = integrated(brier.x, brier.model)
    null = integrated(brier.x, brier.reference)
    to = f"{brier.x[0]:g} to {brier.x[-1]:g}" if brier.x.size else "no time"
    note = f"{to}, where at least {design.followed_least} are followed beyond"
    if not design.plan.baseline:
        note += "; baseline hazard estimated anew here, so too favourable"
    scaled = 1 - model / null if null > 0 else math.nan
    none = "" if null > 0 else "nobody dies, or nobody is followed, at two times"
    release = "joint, weighted"
    return [
        Measure("integrated Brier score", model, release=release, note=note),
        Measure("the same of Kaplan-Meier", null, release="joint", note=to),
        Measure("scaled integrated Brier score", scaled, release=release, note=none),
    ]


def _losses(state: AssessmentState) -> list[Measure]:
    loss, squares = (state.blocks["joint"]["losses"] / state.n).tolist()
    return [Measure("log-loss", loss), Measure("Brier score", squares)]


def _slope(design: AssessmentDesign, state: AssessmentState) -> list[Measure]:
    """Return slope and intercept of the outcome on the linear predictor."""
    name = "calibration slope"
    newton, options = state.newton, state.options
    if newton is None or newton.sums is None or options is None:
        return [Measure(name, math.nan, release="slope", note=state.refusal)]
    spread = covariance(newton.sums, options)
    spread = spread + rounding_covariance(newton.sums, options)
    back = np.eye(len(newton.trial))
    back[0, 0] = 1 / state.std
    if not design.cox:
        back[1, 0] = -state.mean / state.std
    values = back @ newton.trial
    errors = np.sqrt(np.diagonal(back @ spread @ back.T))
    names = [name, "calibration intercept"][: len(values)]
    ideals = ["1 is ideal", "0 is ideal"]
    return [
        Measure(n, v, v - _Z * e, v + _Z * e, "slope", ideal)
        for n, v, e, ideal in zip(
            names, values.tolist(), errors.tolist(), ideals, strict=False
        )
    ]


def _ratio(design: AssessmentDesign, state: AssessmentState) -> list[Measure]:
    """Return observed over expected events, with a Poisson interval."""
    if design.cox and not design.plan.baseline:
        return []
    if design.cox:
        expected = float(state.blocks["weighted"]["expected"][0])
        release = "risk, weighted"
    else:
        expected = float(state.blocks["joint"]["predicted"].sum())
        release = "risk, joint"
    if expected <= 0:
        return []
    ratio, reach = state.events / expected, math.exp(_Z / math.sqrt(state.events))
    note = "1 is ideal"
    name = "observed / expected events"
    return [Measure(name, ratio, ratio / reach, ratio * reach, release, note)]


def _calibration(
    design: AssessmentDesign, state: AssessmentState
) -> list[tuple[float, CalibrationGroups]]:
    table = state.blocks["joint"]["table"]
    counts = table.sum(axis=(0, 1))
    groups = merge_bins(counts, DECILES, 1 if design.exact else AT_RISK_LEAST)
    if not design.cox:
        predicted = state.blocks["joint"]["predicted"]
        return [(math.nan, class_groups(table.sum(axis=1), predicted, groups))]
    sums = state.blocks["weighted"]["predicted"]
    return [
        (design.grid[at], survival_groups(table, sums[i], at, groups))
        for i, at in enumerate(state.at)
    ]


def _decision(design: AssessmentDesign, state: AssessmentState) -> Curve:
    thresholds = np.asarray(design.plan.thresholds)
    joint = state.blocks["joint"]
    cells = joint["cells"]
    if not design.exact:
        by_bin = joint["table"].sum(axis=1)
        cells = cells_between(by_bin, thresholds, state.mean, state.std)
    model, everybody = net_benefit(cells, thresholds)
    return Curve(thresholds, model, everybody)


def _subgroups(design: AssessmentDesign, state: AssessmentState) -> list[Subgroup]:
    found = []
    rows: Any = state.blocks["joint"]["levels"]
    for (column, label), row in zip(design.levels, rows, strict=True):
        pairs = PairSums.from_vector(row[2:])
        value = _share(pairs)
        low, high = interval(value, pairs.std_error)
        name = "C" if design.cox else "AUC"
        note = "" if math.isfinite(value) else _NO_PAIRS
        index = Measure(f"{name}, pairs within sites", value, low, high, note=note)
        n, events = (round(float(v)) for v in row[:2])
        found.append(Subgroup(column, label, n, events, index))
    return found

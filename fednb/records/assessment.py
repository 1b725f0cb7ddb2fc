"""Assessment of a finished model: how well it predicts, at sites old or new."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.base import Record
from fednb.records.formula import Term, term_text, term_width, terms_of
from fednb.records.specs import (
    EmbeddingRef,
    Needs,
    Phase,
    Split,
    SplitSpec,
    SummedPlan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.datasets import Column, ColumnKind

MOST_BINS: Final = 400
MOST_TIMES: Final = 400
MOST_LEVELS: Final = 40
"""Labels of a subgroup column (disclosure rule 14)."""
INTERVALS: Final = 60
"""Intervals of the default time grid, equal over the duration's declared bounds."""
ASSESSED_TIMES: Final = 3
"""Times of the default choice, at thirds of the grid that is well followed."""
THRESHOLDS: Final = tuple(round(0.05 * i, 2) for i in range(1, 20))
SLOPE_EVALUATIONS: Final = 12
PAIRS: Final = 3
"""Numbers of one `fednb.survival.pairs.PairSums`."""
EFFECTS: Final = 5
"""Numbers of `fednb.survival.meta_analysis.effect_sums`."""
CLOSE_PAIRS: Final = 8
"""Numbers of pairs of one interval, `fednb.survival.close_pairs`."""


class FixedModel(Record, frozen=True):
    """A finished head as numbers: what a contract carries to the sites.

    Attributes
    ----------
    family
        ``"cox"``: the linear predictor is a log hazard; ``"logistic"``: log odds.
    coefficients
        Of the embedding's columns (or the score), then of the columns of the design
        that come of `covariates` or `formula`, in their own units.
    covariates
        Table columns, in the order of the coefficients: numbers and binaries as they
        are, labels as one 0/1 column a level but the first.
    center
        Values at which the linear predictor is `intercept`, as many.
    intercept
        0 for a Cox model.
    embedding, features
        Embeddings that stay at the sites, as for a head; ``"score"`` alone with
        coefficient 1 is the network itself.
    formula
        In place of `covariates`, as for a head: ``"age * C(grade)"``.
    levels
        Labels by column, the reference first, of each column that is read as labels.
        Patients with another label are left out.
    bounds
        Of each column with a spline the lower and upper bound on which the fit's
        splines end, in the column's unit: the same curve wherever it is assessed.
    step
        Of a study: the step whose fit it is. The contract has no numbers then; every
        site derives them from the totals of that fit, which it replays.

    Examples
    --------
    >>> model = fednb.FixedModel("cox", (0.03,), covariates=("age",))
    >>> model.covariates
    ('age',)
    """

    family: Literal["cox", "logistic"]
    coefficients: tuple[float, ...]
    covariates: tuple[str, ...] = ()
    center: tuple[float, ...] = ()
    intercept: float = 0.0
    embedding: EmbeddingRef | None = None
    features: Literal["embedding", "score", "none"] = "none"
    formula: str = ""
    levels: dict[str, tuple[str, ...]] = {}
    bounds: dict[str, tuple[float, float]] = {}
    step: int | None = None

    def __post_init__(self) -> None:
        """Fill in the centre; refuse numbers that do not fit together."""
        if self.covariates and self.formula:
            message = "Give covariates or a formula, not both."
            raise PlanError(message)
        self._check_names()
        if self.step is not None and not self.coefficients:
            return
        if not self.center:
            zeros = (0.0,) * len(self.coefficients)
            msgspec.structs.force_setattr(self, "center", zeros)
        numbers = (*self.coefficients, *self.center, self.intercept)
        fits = len(self.center) == len(self.coefficients) == self.width() > 0
        if not fits or not all(map(math.isfinite, numbers)):
            message = (
                f"A model of {self.width()} columns needs as many finite coefficients; "
                f"got {len(self.coefficients)}, and {len(self.center)} centres."
            )
            raise PlanError(message)

    def _check_names(self) -> None:
        """Refuse splines without bounds, and labels or bounds of other columns."""
        factors = [factor for term in self.terms() for factor in term]
        curved = {f.name for f in factors if f.kind in {"bs", "ns"}}
        labelled = {f.name for f in factors if f.kind == "levels"}
        stray = set(self.levels) - {factor.name for factor in factors}
        uneven = [name for name, (low, high) in self.bounds.items() if not low < high]
        if curved != set(self.bounds) or labelled - set(self.levels) or stray or uneven:
            message = (
                f"A model names the bounds of its columns with splines "
                f"({', '.join(sorted(curved)) or 'none'}), lower below upper, and the "
                f"levels of its columns with labels; got bounds of "
                f"{', '.join(sorted(self.bounds)) or 'none'} and levels of "
                f"{', '.join(sorted(self.levels)) or 'none'}."
            )
            raise PlanError(message)

    def terms(self) -> tuple[Term, ...]:
        """Return the terms of the formula, or one a covariate, see `terms_of`."""
        return terms_of(self.formula, self.covariates)

    def columns(self) -> tuple[str, ...]:
        """Return the table's columns that the model reads, each once."""
        factors = (factor for term in self.terms() for factor in term)
        return tuple(dict.fromkeys(factor.name for factor in factors))

    def shown(self) -> tuple[str, ...]:
        """Return the terms as they are written in a formula."""
        return tuple(term_text(term) for term in self.terms())

    def table_width(self) -> int:
        """Return the number of the design's columns that come of the table."""
        return sum(term_width(term, self.levels) for term in self.terms())

    def width(self) -> int:
        """Return the number of columns that the model uses."""
        if self.features == "none" or self.embedding is None:
            return self.table_width()
        units = 1 if self.features == "score" else self.embedding.width
        return units + self.table_width()

    def kinds(self, name: str) -> tuple[ColumnKind, ...]:
        """Return what kinds a column that the model reads may be."""
        if name in self.levels:
            return ("category", "binary")
        return ("number",) if name in self.bounds else ("number", "binary")


class AssessmentPlan(SummedPlan, frozen=True):
    """Assess a finished model: discrimination, calibration, and how sites differ.

    Attributes
    ----------
    model
        See `FixedModel`; ``fed.evaluate`` makes one of a result.
    duration, event
        Of a Cox model: columns of follow-up times and of 0/1 events.
    target
        Of a logistic model: the binary column.
    on, split
        The patients to assess on.
    times
        Ascending grid of times, the last one being the horizon; empty: 60 intervals
        over the duration's declared bounds.
    baseline
        Cumulative hazard at each of `times` of a patient whose linear predictor is 0;
        empty: estimated anew from the patients assessed, which every figure says that
        rests on it.
    at
        Times of the AUC and of calibration, among `times`; empty: chosen at thirds of
        what is well followed.
    bins
        Of risk, for pairs across sites and for calibration. Outside the open profile a
        divisor of 20, and `times` lie on the owners' grid of `duration`: edges that
        could be slid would find single patients.
    subgroups
        Category or binary columns.
    thresholds
        Of the decision curve of a logistic model, ascending within (0, 1).

    Examples
    --------
    >>> model = fednb.FixedModel("cox", (0.03,), covariates=("age",))
    >>> fednb.AssessmentPlan(model, duration="os_months", event="death").on
    'test'
    """

    model: FixedModel
    duration: str = ""
    event: str = ""
    target: str = ""
    on: Split = "test"
    split: SplitSpec = SplitSpec()
    times: tuple[float, ...] = ()
    baseline: tuple[float, ...] = ()
    at: tuple[float, ...] = ()
    bins: int = 20
    subgroups: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = THRESHOLDS

    def __post_init__(self) -> None:
        """Take the embedding's split; check ranges."""
        force = msgspec.structs.force_setattr
        for field in ("times", "baseline", "at", "subgroups", "thresholds"):
            force(self, field, tuple(getattr(self, field)))
        if self.model.embedding is not None:
            force(self, "split", self.model.embedding.split)
        self._check_outcome()
        _check_ascending("times", self.times, 0.0, math.inf)
        _check_ascending("at", self.at, 0.0, math.inf)
        _check_ascending("thresholds", self.thresholds, 0.0, 1.0)
        if not 2 <= self.bins <= MOST_BINS or len(self.times) > MOST_TIMES:
            message = (
                f"Give 2 to {MOST_BINS} bins and at most {MOST_TIMES} times; got "
                f"{self.bins} and {len(self.times)}."
            )
            raise PlanError(message)

    def _check_outcome(self) -> None:
        if self.model.family == "logistic":
            named, wanted = bool(self.target), 'target="..."'
        else:
            named = bool(self.duration and self.event)
            wanted = 'duration="..." and event="..."'
        if not named:
            message = f"Say what a {self.model.family} model is assessed by: {wanted}."
            raise PlanError(message)
        stray = [t for t in self.at if t not in self.times] if self.times else []
        baseline = self.baseline
        uneven = len(baseline) not in (0, len(self.times))
        falls = any(b < a for a, b in zip((0.0, *baseline), baseline, strict=False))
        if stray or uneven or falls or (self.at and not self.times):
            message = (
                "`at` lies among `times`, and a baseline has a value for each of them, "
                f"never falling; got at={self.at}, {len(self.times)} times and "
                f"{len(baseline)} values."
            )
            raise PlanError(message)

    @property
    def embedding(self) -> EmbeddingRef | None:
        """Embeddings that the model reads."""
        return self.model.embedding

    @property
    def features(self) -> str:
        """What the model reads of them."""
        return self.model.features

    def intervals(self) -> int:
        """Return the number of grid times; 0 for a logistic model."""
        if self.model.family == "logistic":
            return 0
        return len(self.times) or INTERVALS

    def assessed_times(self) -> int:
        """Return how many times have an AUC and a calibration."""
        if self.model.family == "logistic":
            return 0
        return len(self.at) or ASSESSED_TIMES

    @override
    def needs(self) -> Needs:
        """Return outcome, covariates and subgroups."""
        found: Needs = {}
        if self.model.family == "cox":
            found = {self.duration: ("number",), self.event: ("binary",)}
        else:
            found = {self.target: ("binary",)}
        for name in self.model.columns():
            found[name] = self.model.kinds(name)
        for name in self.subgroups:
            found.setdefault(name, ("category", "binary"))
        return found

    @override
    def columns_used(self) -> tuple[str, ...]:
        """Return the columns that the plan uses, each once."""
        used = (*self.needs(), self.split.column)
        return tuple(dict.fromkeys(name for name in used if name))

    @override
    def phases(self) -> tuple[Phase, ...]:
        """Return the spread of the risk, the joint table, weighted sums, the slope.

        And, where at least four sites hide what each estimated, the mean over sites.
        """
        m, e, b = self.intervals(), self.assessed_times(), self.bins
        cox = self.model.family == "cox"
        levels = len(self.subgroups) * MOST_LEVELS * (2 + PAIRS)
        own = m + 1 if cox else 2 + 2 * (len(self.thresholds) + 1) + b
        joint = 2 * (m + 1) * b + PAIRS + EFFECTS + own + levels
        kinds = 1 + (1 + e if cox else 0)
        # of each kind three sums across sites and two within bins; of all but one pairs
        weighted = kinds * (3 + 2) + (kinds - 1) * PAIRS
        weighted += m + e * b + 1 + CLOSE_PAIRS if cox else 0
        columns = 1 if cox else 2
        slope = columns + columns * (columns + 1) // 2 + 1
        return (
            Phase("risk", 5 + len(self.needs()) + self.model.table_width()),
            Phase("joint", joint),
            Phase("weighted", weighted),
            Phase("slope", slope, SLOPE_EVALUATIONS),
            Phase("between", 2),
        )


def default_times(duration: Column) -> tuple[float, ...]:
    """Return the grid of an assessment that names no times.

    Where one is an edge of the owners' grid it is so to the last bit: patients who lie
    on it are on the same side of both.
    """
    made = (duration.upper * k / INTERVALS for k in range(1, INTERVALS + 1))
    grid = duration.grid()
    return tuple(next((e for e in grid if math.isclose(e, t)), t) for t in made)


def _check_ascending(
    name: str, values: Sequence[float], above: float, below: float
) -> None:
    rising = all(a < b for a, b in zip((above, *values), values, strict=False))
    if not rising or not all(v < below for v in values):
        message = f"{name} must ascend strictly between {above:g} and {below:g}."
        raise PlanError(message)

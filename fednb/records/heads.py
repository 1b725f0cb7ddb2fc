"""Heads: verified fits of a few coefficients on embeddings, covariates, or both."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.specs import (
    EmbeddingRef,
    Needs,
    Phase,
    Split,
    SplitSpec,
    SummedPlan,
    deref,
)

HEAD_METRICS: Final = 5
"""Patients, events, concordant, tied and comparable pairs."""


class HeadPlan(SummedPlan, frozen=True):
    """What Cox and logistic heads share."""

    embedding: EmbeddingRef | None = None
    features: Literal["embedding", "score", "none"] = "embedding"
    covariates: tuple[str, ...] = ()
    penalizer: float = 0.0
    split: SplitSpec = SplitSpec()
    fit_on: Split = "validation"
    evaluate_on: Split | Literal["none"] = "test"
    tolerance: float = 1e-9
    max_evaluations: int = 12

    def __post_init__(self) -> None:
        """Accept an embedding result in place of its reference; check ranges."""
        deref(self, "embedding")
        force = msgspec.structs.force_setattr
        force(self, "covariates", tuple(self.covariates))
        if self.embedding is None:
            force(self, "features", "none")
        else:
            force(self, "split", self.embedding.split)
        if self.features == "none" and not self.covariates:
            message = "A head needs an embedding, covariates, or both."
            raise PlanError(message)
        if self.penalizer < 0:
            message = f"penalizer must be >= 0; got {self.penalizer}."
            raise PlanError(message)
        if not 1 <= self.max_evaluations <= 12:
            message = f"A fit has 1 to 12 evaluations; got {self.max_evaluations}."
            raise PlanError(message)

    def width(self) -> int:
        """Return the number of columns of the design, without an intercept."""
        width = 0
        if self.features == "score":
            width = 1
        elif self.features == "embedding" and self.embedding is not None:
            width = self.embedding.width
        return width + len(self.covariates)

    @override
    def phases(self) -> tuple[Phase, ...]:
        """Return moments, then scores, then pair counts."""
        columns = self.coefficients()
        totals = columns + columns * (columns + 1) // 2 + 1
        found = (
            Phase("moments", 2 + 2 * columns),
            Phase("score", totals, self.max_evaluations),
        )
        if self.evaluate_on == "none":
            return found
        return (*found, Phase("metrics", HEAD_METRICS))

    def coefficients(self) -> int:
        """Return the number of columns of the fit, an intercept included."""
        return self.width()

    @override
    def columns_used(self) -> tuple[str, ...]:
        """Return the columns that the plan uses, each once."""
        used = (*self.needs(), self.split.column)
        return tuple(dict.fromkeys(name for name in used if name))


class CoxPlan(HeadPlan, frozen=True):
    """Fit a Cox model, stratified by site, on embeddings, covariates, or both.

    Attributes
    ----------
    embedding
        Result of an `EmbeddingPlan`; none: covariates only.
    features
        ``"embedding"`` (bottleneck units) or ``"score"`` (the network's output).
    duration, event
        Columns of follow-up times and of 0/1 events.
    covariates
        Further number or binary columns.
    penalizer
        Ridge, in lifelines' meaning.
    strata
        Only ``"site"`` so far: each site has its own baseline hazard.
    ties
        ``"efron"`` or ``"breslow"``.
    fit_on, evaluate_on
        Patients to fit on, by default ones that no network was trained on, and to
        evaluate on.
    """

    duration: str = "time"
    event: str = "event"
    strata: Literal["site"] = "site"
    ties: Literal["efron", "breslow"] = "efron"

    @override
    def needs(self) -> Needs:
        """Return follow-up times, events and covariates."""
        outcome: Needs = {self.duration: ("number",), self.event: ("binary",)}
        return {**outcome, **dict.fromkeys(self.covariates, ("number", "binary"))}


class LogisticPlan(HeadPlan, frozen=True):
    """Fit a logistic head for a binary column; see `CoxPlan` for shared fields."""

    target: str = "label"

    @override
    def coefficients(self) -> int:
        """Return the number of columns of the fit, the intercept included."""
        return self.width() + 1

    @override
    def needs(self) -> Needs:
        """Return the outcome and covariates."""
        outcome: Needs = {self.target: ("binary",)}
        return {**outcome, **dict.fromkeys(self.covariates, ("number", "binary"))}

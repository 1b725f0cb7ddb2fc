"""Plans: what a scientist asks sites to do. A contract carries them verbatim.

A plan is a record with sensible defaults. ``fed.request(plan, ...)`` resolves what is
left open (modalities, the model's weights) against the datasets' cards, so that a
contract never holds a default that a site would have to guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fednb.errors import PlanError
from fednb.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Callable

Scalar = bool | int | float | str
Parameter = Scalar | list[Scalar] | None
Split = Literal["train", "validation", "test", "all"]
Device = Literal["auto", "cpu", "cuda"]


class TransformSpec(Record, frozen=True):
    """A transform of the allow-list in `fednb.imaging.transforms`, by name."""

    name: str
    params: dict[str, Parameter] = {}


class ModelSpec(Record, frozen=True):
    """A network of the registry in `fednb.models`, by name and arguments."""

    name: str
    params: dict[str, Parameter] = {}


class StrategySpec(Record, frozen=True):
    """A strategy of `fednb.strategies`, by name and parameters."""

    name: str
    params: dict[str, Parameter] = {}


class SplitSpec(Record, frozen=True):
    """How a site splits its patients; the order comes from the site's secret salt.

    Attributes
    ----------
    train, validation, test
        Fractions; they sum to 1. Patients in `validation` are never trained on: live
        curves and survival heads use them.
    key
        Plans with the same key split the same way.
    column
        A category column that names each patient's part, for a split that is given;
        the fractions then do not count. Empty: the site draws.
    """

    train: float = 0.6
    validation: float = 0.2
    test: float = 0.2
    key: str = "default"
    column: str = ""

    def __post_init__(self) -> None:
        """Refuse fractions that are negative or do not sum to 1."""
        parts = (self.train, self.validation, self.test)
        if min(parts) < 0 or abs(sum(parts) - 1) > 1e-9:
            message = f"Fractions of a split must sum to 1 and be >= 0; got {parts}."
            raise PlanError(message)


class ModelRef(Record, frozen=True):
    """Trained weights in the coordinator's store, named by their hash.

    Attributes
    ----------
    sha256
        Hash of the flat float32 weights; ``"step:N"`` inside a study means the
        artefact of step N, pinned when that step ends.
    training
        The plan that trained them: model, target, modalities, size, transforms, split.
    """

    sha256: str
    training: TrainingPlan


class EmbeddingRef(Record, frozen=True):
    """Embeddings that stay at the sites, named by the contract step that made them."""

    contract: str
    step: int
    width: int
    split: SplitSpec


class Plan(Record, frozen=True):
    """Base of all plans."""

    def dry_run(self, mock: Any) -> Any:  # noqa: ANN401
        """Run this plan on mock data, before anybody is asked.

        Parameters
        ----------
        mock
            ``site.datasets["..."].mock``.

        Returns
        -------
        result
            The same kind of result as a real run, marked as a dry run.
        """
        run: Callable[[Plan], object] | None = getattr(mock, "dry_run", None)
        if run is None:
            message = f"dry_run needs mock data, ds.mock; got {type(mock).__name__}."
            raise PlanError(message)
        return run(self)


class DescribePlan(Plan, frozen=True):
    """Rounded counts of subjects, non-missing values and modalities."""


class StatisticsPlan(Plan, frozen=True):
    """Aggregate statistics of table columns; pooled over the sites.

    Attributes
    ----------
    columns
        Columns to summarise: mean, variance, quantiles and histogram of numbers,
        counts of labels.
    by
        A category or binary column to group by; empty for none.
    quantiles
        Probabilities within 5-95 %.
    bins
        Upper bound on the number of histogram bins; at most 20.
    """

    columns: tuple[str, ...]
    by: str = ""
    quantiles: tuple[float, ...] = (0.25, 0.5, 0.75)
    bins: int = 20

    def __post_init__(self) -> None:
        """Refuse no columns, extreme quantiles and too many bins."""
        if not self.columns:
            message = "A statistics plan needs at least one column."
            raise PlanError(message)
        outside = [q for q in self.quantiles if not 0.05 <= q <= 0.95]
        if outside:
            message = f"Quantiles must lie within .05 and .95; got {outside}."
            raise PlanError(message)
        if not 1 <= self.bins <= 20:
            message = f"A histogram has 1 to 20 bins; got {self.bins}."
            raise PlanError(message)


class TrainingPlan(Plan, frozen=True):
    """Train a network on volumes that stay at the sites.

    Attributes
    ----------
    model
        Network by name, or a `ModelSpec` with arguments.
    target
        Binary column to predict.
    strategy
        A strategy of `fednb.strategies`, or its spec.
    rounds, local_epochs
        Number of rounds; passes over the training patients within a round.
    batch_size, learning_rate, weight_decay, optimiser, schedule
        Of the local optimiser; ``schedule`` runs over all rounds.
    modalities
        Input channels in order; empty: all of the datasets' cards.
    size
        Voxels along each axis of the network's input.
    transforms
        Fixed transforms, then random ones.
    covariates
        Number columns that join inside the network; usually none, since a head fitted
        afterwards does better.
    split, seed
        See `SplitSpec`; seed of weights, order and augmentation.
    device, amp, threads
        ``"auto"`` takes CUDA where there is one. Mixed precision acts on CUDA only.
        One thread makes a CPU run deterministic bit for bit.
    validate_every
        Rounds between validations; 0 for none.
    """

    model: str | ModelSpec
    target: str
    strategy: StrategySpec = StrategySpec("fedavg")
    rounds: int = 10
    local_epochs: int = 1
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    optimiser: Literal["adamw", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    modalities: tuple[str, ...] = ()
    size: tuple[int, int, int] = (32, 32, 32)
    transforms: tuple[TransformSpec, ...] = (TransformSpec("ZScoreInMask"),)
    covariates: tuple[str, ...] = ()
    split: SplitSpec = SplitSpec()
    seed: int = 0
    device: Device = "auto"
    amp: bool = True
    threads: int = 1
    validate_every: int = 1

    def __post_init__(self) -> None:
        """Accept a strategy object or name in place of its spec; check ranges."""
        given: Any = self.strategy
        if not isinstance(given, StrategySpec):
            spec = StrategySpec(given) if isinstance(given, str) else given.spec()
            msgspec.structs.force_setattr(self, "strategy", spec)
        _check_at_least(self, 1, "rounds", "local_epochs", "batch_size", "threads")
        if not 0 < self.learning_rate < 10:
            message = f"learning_rate must lie in (0, 10); got {self.learning_rate}."
            raise PlanError(message)

    @property
    def network(self) -> ModelSpec:
        """The network as a spec."""
        return ModelSpec(self.model) if isinstance(self.model, str) else self.model


class EvaluationPlan(Plan, frozen=True):
    """Evaluate a trained network: AUC from within-site pairs, log-loss, Brier score."""

    model: ModelRef
    split: Split = "test"

    def __post_init__(self) -> None:
        """Accept a training result in place of its reference."""
        _deref(self, "model")


class EmbeddingPlan(Plan, frozen=True):
    """Compute embeddings and scores of every patient; they stay at the site."""

    model: ModelRef

    def __post_init__(self) -> None:
        """Accept a training result in place of its reference."""
        _deref(self, "model")


class _HeadPlan(Plan, frozen=True):
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
        _deref(self, "embedding")
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


class CoxPlan(_HeadPlan, frozen=True):
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


class LogisticPlan(_HeadPlan, frozen=True):
    """Fit a logistic head for a binary column; see `CoxPlan` for shared fields."""

    target: str = "label"


AnyPlan = (
    DescribePlan
    | StatisticsPlan
    | TrainingPlan
    | EvaluationPlan
    | EmbeddingPlan
    | CoxPlan
    | LogisticPlan
)


def columns_of(plan: AnyPlan) -> tuple[str, ...]:
    """Return the table columns that a plan uses, each once."""
    used: tuple[str, ...] = ()
    if isinstance(plan, StatisticsPlan):
        used = (*plan.columns, plan.by)
    elif isinstance(plan, TrainingPlan):
        used = (plan.target, *plan.covariates, plan.split.column)
    elif isinstance(plan, CoxPlan):
        used = (plan.duration, plan.event, *plan.covariates, plan.split.column)
    elif isinstance(plan, LogisticPlan):
        used = (plan.target, *plan.covariates, plan.split.column)
    return tuple(dict.fromkeys(name for name in used if name))


def _deref(plan: Plan, field: str) -> None:
    """Replace a result in `field` by the reference that it carries."""
    value = getattr(plan, field)
    reference = getattr(value, "ref", None)
    if reference is not None:
        msgspec.structs.force_setattr(plan, field, reference)


def _check_at_least(plan: Plan, least: int, *fields: str) -> None:
    for field in fields:
        value = getattr(plan, field)
        if value < least:
            message = f"{field} must be at least {least}; got {value}."
            raise PlanError(message)

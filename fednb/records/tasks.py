"""Plans: what a scientist asks sites to do. A contract carries them verbatim.

A plan is a record with sensible defaults. ``fed.request(plan, ...)`` resolves what is
left open (modalities, the model's weights) against the datasets' cards, so that a
contract never holds a default that a site would have to guess.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan
from fednb.records.base import Record
from fednb.records.code import Code
from fednb.records.curves import SurvivalPlan
from fednb.records.dp import DP  # noqa: TC001  (msgspec reads it)
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.outcomes import Survival  # noqa: TC001  (msgspec reads it)
from fednb.records.specs import (
    Device,
    ModelSpec,
    Parameter,
    Plan,
    Split,
    SplitSpec,
    StrategySpec,
    SummedPlan,
    TransformSpec,
    deref,
    typed,
)


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


class DescribePlan(Plan, frozen=True):
    """Rounded counts of patients: all, with a value in a column, with a volume.

    A contract and a query say columns and modalities themselves, so that every site
    counts the same in the same order; a site counts nobody for a modality that it
    lacks.

    Attributes
    ----------
    columns
        Columns whose values are counted; None: all that the sites declare alike.
    modalities
        Modalities whose patients are counted; None: all of the datasets' cards.

    Examples
    --------
    >>> fednb.DescribePlan(columns="age").columns
    ('age',)
    """

    columns: tuple[str, ...] | None = None
    modalities: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is counted twice."""
        typed(self)
        for field in ("columns", "modalities"):
            names = getattr(self, field) or ()
            if len(set(names)) < len(names):
                message = f"A description counts each name once; {field} = {names}."
                raise PlanError(message)


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

    Examples
    --------
    >>> fednb.StatisticsPlan(["age", "idh"], by="sex").columns
    ('age', 'idh')
    """

    columns: tuple[str, ...]
    by: str = ""
    quantiles: tuple[float, ...] = (0.25, 0.5, 0.75)
    bins: int = 20

    def __post_init__(self) -> None:
        """Refuse no columns, extreme quantiles and too many bins."""
        typed(self)
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
        Network by name, a `ModelSpec` with arguments, or `Code` of one's own.
    target
        Binary column to predict, or a `Survival`.
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
        Fixed transforms, then random ones; of either kind those of one's own, `Code`,
        come last.
    covariates
        Number columns that join inside the network; usually none, since a head fitted
        afterwards does better.
    loss
        A loss of one's own, `Code` of a function; None: cross-entropy, or what a
        `Survival` names. It trains; figures of validation patients stay cross-entropy.
    split, seed
        See `SplitSpec`; seed of weights, order and augmentation.
    device, amp, threads
        ``"auto"`` takes CUDA where there is one. Mixed precision acts on CUDA only.
        One thread makes a CPU run deterministic bit for bit.
    validate_every
        Rounds between validations; 0 for none.
    dp
        Differential privacy for the training patients; None: none.

    Examples
    --------
    >>> plan = fednb.TrainingPlan("small-cnn-3d", target="idh", strategy="fedprox")
    >>> plan.rounds, plan.strategy.name
    (10, 'fedprox')
    """

    model: str | ModelSpec | Code
    target: str | Survival
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
    transforms: tuple[TransformSpec | Code, ...] = (TransformSpec("ZScoreInMask"),)
    covariates: tuple[str, ...] = ()
    loss: Code | None = None
    split: SplitSpec = SplitSpec()
    seed: int = 0
    device: Device = "auto"
    amp: bool = True
    threads: int = 1
    validate_every: int = 1
    dp: DP | None = None

    def __post_init__(self) -> None:
        """Accept a strategy object or name in place of its spec; check ranges."""
        given: Any = self.strategy
        if not isinstance(given, StrategySpec):
            spec = StrategySpec(given) if isinstance(given, str) else given.spec()
            msgspec.structs.force_setattr(self, "strategy", spec)
        typed(self)
        _check_at_least(self, 1, "rounds", "local_epochs", "batch_size", "threads")
        if not 0 < self.learning_rate < 10:
            message = f"learning_rate must lie in (0, 10); got {self.learning_rate}."
            raise PlanError(message)

    @property
    def network(self) -> ModelSpec | Code:
        """The network as a spec; in discrete time it has a baseline of its own."""
        spec = ModelSpec(self.model) if isinstance(self.model, str) else self.model
        survival = self.survival
        discrete = survival is not None and survival.loss == "discrete-time"
        if survival is None or isinstance(spec, Code) or not discrete:
            return spec
        baseline: dict[str, Parameter] = {"intervals": len(survival.intervals)}
        return msgspec.structs.replace(spec, params=spec.params | baseline)

    @property
    def survival(self) -> Survival | None:
        """The target, if it is survival."""
        return None if isinstance(self.target, str) else self.target

    @property
    def outcome(self) -> tuple[str, ...]:
        """Columns of the target."""
        if isinstance(self.target, str):
            return (self.target,)
        return (self.target.duration, self.target.event)

    @property
    def calls(self) -> int:
        """Calls of a round at each site: deep Cox sums hazards first."""
        return 2 if self.survival is not None and self.survival.summed else 1


class EvaluationPlan(Plan, frozen=True):
    """Evaluate a trained network: AUC from within-site pairs, log-loss, Brier score.

    Examples
    --------
    >>> training = fednb.TrainingPlan("small-cnn-3d", target="idh")
    >>> study = fednb.StudyPlan.with_heads(
    ...     training, fednb.LogisticPlan(fednb.EMBEDDING)
    ... )
    >>> study.steps[1].split
    'test'
    """

    model: ModelRef
    split: Split = "test"

    def __post_init__(self) -> None:
        """Accept a training result in place of its reference."""
        deref(self, "model")


class EmbeddingPlan(Plan, frozen=True):
    """Compute embeddings and scores of every patient; they stay at the site.

    What comes back is a handle: heads are fitted on it, ``CoxPlan(embedding, ...)``.

    Attributes
    ----------
    model
        Result of a `TrainingPlan`, or its ``.ref``.

    Examples
    --------
    >>> training = fednb.TrainingPlan("small-cnn-3d", target="idh")
    >>> study = fednb.StudyPlan.with_heads(
    ...     training, fednb.LogisticPlan(fednb.EMBEDDING)
    ... )
    >>> type(study.steps[2]).__name__
    'EmbeddingPlan'
    """

    model: ModelRef

    def __post_init__(self) -> None:
        """Accept a training result in place of its reference."""
        deref(self, "model")


QueryPlan = DescribePlan | StatisticsPlan
"""Plans that a standing contract answers."""

AnyPlan = (
    DescribePlan
    | StatisticsPlan
    | TrainingPlan
    | EvaluationPlan
    | EmbeddingPlan
    | CoxPlan
    | LogisticPlan
    | SurvivalPlan
    | AssessmentPlan
)


def columns_of(plan: AnyPlan) -> tuple[str, ...]:
    """Return the table columns that a plan uses, each once."""
    used: tuple[str, ...] = ()
    if isinstance(plan, DescribePlan):
        used = plan.columns or ()
    elif isinstance(plan, StatisticsPlan):
        used = (*plan.columns, plan.by)
    elif isinstance(plan, TrainingPlan):
        used = (*plan.outcome, *plan.covariates, plan.split.column)
    elif isinstance(plan, SummedPlan):
        used = plan.columns_used()
    return tuple(dict.fromkeys(name for name in used if name))


def names_of(plan: AnyPlan) -> frozenset[tuple[str, str]]:
    """Return what a plan names of a dataset: ``("column", "age")`` and the like."""
    named = {("column", name) for name in columns_of(plan)}
    if isinstance(plan, DescribePlan | TrainingPlan):
        named |= {("modality", name) for name in plan.modalities or ()}
    return frozenset(named)


def covers(approved: AnyPlan, asked: AnyPlan) -> bool:
    """Whether a step of a standing contract answers a query.

    Parameters
    ----------
    approved
        The step.
    asked
        Of the same kind; it names nothing that the step does not, and leaves nothing
        open.
    """
    if not isinstance(asked, QueryPlan) or type(asked) is not type(approved):
        return False
    left_open = isinstance(asked, DescribePlan) and None in (
        asked.columns,
        asked.modalities,
    )
    return not left_open and names_of(asked) <= names_of(approved)


def _check_at_least(plan: Plan, least: int, *fields: str) -> None:
    for field in fields:
        value = getattr(plan, field)
        if value < least:
            message = f"{field} must be at least {least}; got {value}."
            raise PlanError(message)

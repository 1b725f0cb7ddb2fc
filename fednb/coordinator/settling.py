"""What a plan leaves open is settled against the datasets' cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fednb.errors import PlanError, UnknownNameError
from fednb.imaging import transforms
from fednb.models import registry as models
from fednb.privacy.dp import settle_dp
from fednb.privacy.tables import StatisticsLayout
from fednb.records.assessment import AssessmentPlan
from fednb.records.carried import check_carried
from fednb.records.edges import edges_of, on_owners_grid
from fednb.records.heads import CoxPlan, HeadPlan, LogisticPlan
from fednb.records.outcomes import settle_target
from fednb.records.specs import EmbeddingRef, Plan, SummedPlan
from fednb.records.studies import STUDY, StudyPlan
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    StatisticsPlan,
    TrainingPlan,
    columns_of,
)
from fednb.strategies.registry import resolve, strategy_of
from fednb.survival.assessing import model_of_fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fednb.records.datasets import Column, DatasetCard


def settle_steps(
    plan: Plan, cards: Mapping[str, DatasetCard], *, exact: bool
) -> tuple[AnyPlan, ...]:
    """Return the plan's steps with everything that it left open settled.

    Parameters
    ----------
    plan
        One plan, or a study.
    cards
        Of the dataset, by site.
    exact
        Whether the contract is of the open profile, where times and knots are free.

    Raises
    ------
    PlanError, UnknownNameError, InputError
        A step names what does not exist, or leaves open what cannot be settled.
    """
    given = plan.steps if isinstance(plan, StudyPlan) else (plan,)
    steps: list[AnyPlan] = []
    for step in given:
        settled = _settle(step, cards, steps)
        if not exact:
            named = [edges.column for edges in edges_of(settled) if edges.values]
            settled = on_owners_grid(settled, common_columns(named, cards))
        steps.append(settled)
    return tuple(steps)


def _settle(
    step: Plan, cards: Mapping[str, DatasetCard], before: Sequence[AnyPlan]
) -> AnyPlan:
    if isinstance(step, TrainingPlan):
        return _settle_training(step, cards)
    if isinstance(step, DescribePlan):
        return _settle_description(step, cards)
    if isinstance(step, StatisticsPlan):
        named = (*columns_of(step), *shared_columns(cards))
        StatisticsLayout.from_plan(step, common_columns(named, cards))
    if isinstance(step, EvaluationPlan | EmbeddingPlan):
        return msgspec.structs.replace(step, model=_settle_model(step.model, before))
    if isinstance(step, AssessmentPlan):
        step = _settle_assessment(step, cards, before)
    if isinstance(step, SummedPlan):
        _check_columns(step, cards)
    if isinstance(step, HeadPlan):
        shared = common_columns(step.columns_used(), cards)
        step = _settle_head(step.settled(shared), before)
    return step  # type: ignore[return-value]


def common_columns(
    names: Sequence[str], cards: Mapping[str, DatasetCard]
) -> tuple[Column, ...]:
    """Return declarations that all sites share, labels united.

    Raises
    ------
    UnknownNameError
        No site has such a column.
    PlanError
        Not all sites have a column, or two declare it differently.
    """
    found = []
    for name in dict.fromkeys(names):
        declared = _declared(name, cards)
        first_site, first = next(iter(declared.items()))
        levels = list(first.levels)
        for site, column in declared.items():
            if _grid(column) != _grid(first):
                message = (
                    f"Column {name!r} is declared differently: {first_site} has "
                    f"{_grid(first)}, {site} has {_grid(column)}. Ask the owners to "
                    "agree on kind, bounds, step and resolution."
                )
                raise PlanError(message)
            levels += [level for level in column.levels if level not in levels]
        found.append(msgspec.structs.replace(first, levels=tuple(levels)))
    return tuple(found)


def shared_columns(cards: Mapping[str, DatasetCard]) -> tuple[str, ...]:
    """Return the names of the columns that all sites declare alike, in order."""
    first, *others = (
        {c.name: _grid(c) for c in card.columns} for card in cards.values()
    )
    return tuple(
        name
        for name, grid in first.items()
        if all(other.get(name) == grid for other in others)
    )


def offered_modalities(cards: Mapping[str, DatasetCard]) -> tuple[str, ...]:
    """Return the modalities that any site has, in the order of the sites' cards."""
    return tuple(dict.fromkeys(m for n in sorted(cards) for m in cards[n].modalities))


def _check_modalities(names: Sequence[str], offered: Sequence[str]) -> None:
    for name in names:
        if name not in offered:
            raise UnknownNameError("modality", name, offered)


def _settle_description(
    plan: DescribePlan, cards: Mapping[str, DatasetCard]
) -> DescribePlan:
    """Say what is counted: the same at every site."""
    columns = shared_columns(cards) if plan.columns is None else plan.columns
    common_columns(columns, cards)
    offered = offered_modalities(cards)
    modalities = offered if plan.modalities is None else plan.modalities
    _check_modalities(modalities, offered)
    return DescribePlan(tuple(columns), tuple(modalities))


def _declared(name: str, cards: Mapping[str, DatasetCard]) -> dict[str, Column]:
    """Return the declaration of a column at each site."""
    found, without = {}, []
    for site, card in sorted(cards.items()):
        column = next((c for c in card.columns if c.name == name), None)
        if column is None:
            without.append(site)
        else:
            found[site] = column
    if not found:
        known = {c.name for card in cards.values() for c in card.columns}
        raise UnknownNameError("column", name, known)
    if without:
        message = (
            f"{', '.join(without)} has no column {name!r}; {', '.join(found)} do. "
            "Leave the column out, or name the participants with sites=[...]."
        )
        raise PlanError(message)
    return found


def _grid(column: Column) -> tuple[object, ...]:
    return (column.kind, column.lower, column.upper, column.step, column.resolution)


def _settle_training(
    plan: TrainingPlan, cards: Mapping[str, DatasetCard]
) -> TrainingPlan:
    models.validate(plan.network)
    transforms.validate(plan.transforms)
    check_carried(plan)
    strategy = resolve(plan.strategy)
    strategy.check(plan.optimiser)
    target = settle_target(plan.target, common_columns(plan.outcome, cards))
    plan = msgspec.structs.replace(plan, target=target)
    strategy_of(plan)
    common_columns(plan.covariates, cards)
    offered = offered_modalities(cards)
    if not offered:
        message = "The dataset has no images; train a head on its columns instead."
        raise PlanError(message)
    _check_modalities(plan.modalities, offered)
    plan = msgspec.structs.replace(plan, modalities=plan.modalities or offered)
    if plan.dp is not None:
        strategy.check_private()
    return settle_dp(plan, [cards[name].subjects for name in sorted(cards)])


def _check_columns(plan: SummedPlan, cards: Mapping[str, DatasetCard]) -> None:
    """Refuse a column of a kind that the plan cannot use."""
    for name, kinds in plan.needs().items():
        (column,) = common_columns((name,), cards)
        if column.kind not in kinds:
            card = next(iter(cards.values()))
            fit = ", ".join(c.name for c in card.columns if c.kind in kinds)
            message = (
                f"Column {name!r} must be {' or '.join(kinds)} here; it is "
                f"{column.kind}. There are: {fit or 'none'}."
            )
            raise PlanError(message)


def _settle_model(model: ModelRef, steps: Sequence[AnyPlan]) -> ModelRef:
    """Point a study's model at the training step as settled."""
    if not model.sha256.startswith("step:"):
        return model
    number = model.sha256.removeprefix("step:")
    earlier = (
        steps[int(number)] if number.isdigit() and int(number) < len(steps) else None
    )
    if not isinstance(earlier, TrainingPlan):
        message = f"The study has no training step {number} before this one."
        raise PlanError(message)
    return ModelRef(model.sha256, earlier)


def _settle_assessment(
    plan: AssessmentPlan,
    cards: Mapping[str, DatasetCard],
    before: Sequence[AnyPlan],
) -> AssessmentPlan:
    """Point a study's assessment at the fit as settled: its columns and its split.

    One of a model in numbers is pointed at the embeddings that this is of.
    """
    step = plan.model.step
    if step is None:
        made = _settle_embedding(plan.embedding, before)
        known = msgspec.structs.replace(plan.model, embedding=made)
        return msgspec.structs.replace(plan, model=known)
    head = before[step] if 0 <= step < len(before) else None
    if not isinstance(head, CoxPlan | LogisticPlan):
        message = f"The study has no Cox or logistic fit at step {step} before this."
        raise PlanError(message)
    model = model_of_fit(head, common_columns(head.columns_used(), cards), step)
    return msgspec.structs.replace(plan, model=model, split=head.split)


def _settle_head(head: HeadPlan, steps: Sequence[AnyPlan]) -> HeadPlan:
    """Point a study's head at the embedding step: its width and its split."""
    settled = _settle_embedding(head.embedding, steps)
    if settled is None:
        return head
    return msgspec.structs.replace(head, embedding=settled, split=settled.split)


def _settle_embedding(
    reference: EmbeddingRef | None, steps: Sequence[AnyPlan]
) -> EmbeddingRef | None:
    """Return the embeddings that an earlier step of the study makes, with their width.

    Those of another contract are as they are.
    """
    if reference is None or reference.contract != STUDY:
        return reference
    made = steps[reference.step] if 0 <= reference.step < len(steps) else None
    if not isinstance(made, EmbeddingPlan):
        message = (
            "fednb.EMBEDDING means embeddings of the same study, and there is no such "
            f"step {reference.step} before this one: use StudyPlan.with_heads(training,"
            " head), or give the result of an EmbeddingPlan."
        )
        raise PlanError(message)
    training = made.model.training
    width = models.embedding_width(training.network)
    return EmbeddingRef(STUDY, reference.step, width, training.split)

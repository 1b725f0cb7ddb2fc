"""From a plan to a contract: what is left open is settled against the cards."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fednb.errors import PlanError, UnknownNameError
from fednb.imaging import transforms
from fednb.models import registry as models
from fednb.privacy.dp import settle_dp
from fednb.privacy.egress import outputs_of
from fednb.privacy.profiles import (
    MAX_PARAMETER_SHARE,
    PROFILES,
    at_least_as_strict,
)
from fednb.privacy.secure_sum import MINIMUM_SITES
from fednb.records.carried import check_carried
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.heads import HeadPlan
from fednb.records.outcomes import settle_target
from fednb.records.service import Prepare, Prepared
from fednb.records.specs import EmbeddingRef, Plan, StrategySpec, SummedPlan
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
from fednb.storage import secret_file
from fednb.strategies.registry import resolve, strategy_of
from fednb.survival.registry import analysis_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fednb.records.datasets import Column, DatasetCard

DAYS = 30
SECONDS_A_DAY = 86_400
ProfileName = Literal["standard", "rare-disease", "open"]


class Scientist:
    """Who requests: a name to read, and a key that is the identity.

    Parameters
    ----------
    folder
        Where the key is kept, mode 0600; made on first use.
    name
        For people.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(
            secret_file(folder / "scientist.key")
        )

    @property
    def public_key(self) -> str:
        """Ed25519 public key, hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of `data`."""
        return self._key.sign(data)


@dataclass(frozen=True)
class Terms:
    """What a request says beside its plan.

    Attributes
    ----------
    dataset, purpose
        Name at every site; why, in the scientist's words.
    profile
        Disclosure profile; empty: the strictest of the sites'.
    secure_sum
        None: wherever there are three sites.
    resources
        Caps.
    days
        Until the contract expires.
    """

    dataset: str
    purpose: str
    profile: ProfileName | Literal[""] = ""
    secure_sum: bool | None = None
    resources: Resources = field(default_factory=Resources)
    days: float = DAYS


TERMS: Final = ("profile", "secure_sum", "resources", "days")
"""Fields of `Terms` that a scientist may leave out."""


def draft(
    plan: Plan,
    terms: Terms,
    cards: Mapping[str, DatasetCard],
    scientist: Scientist,
    prepare: Callable[[Prepare], Prepared],
) -> Contract:
    """Return the contract of a plan.

    Parameters
    ----------
    plan
        One plan, or a study.
    terms
        See `Terms`.
    cards
        Card of the dataset at each participant.
    scientist
        Who asks.
    prepare
        Makes initial weights and keeps them.

    Raises
    ------
    PlanError, UnknownNameError, InputError
        The plan cannot run as written; nobody was asked.
    """
    if not cards:
        raise UnknownNameError("dataset", terms.dataset, ())
    if not terms.purpose.strip():
        message = 'Say why: purpose="...". Site owners decide by it.'
        raise PlanError(message)
    steps = settle_steps(plan, cards)
    privacy = contract_privacy(terms, cards)
    for step in steps:
        if isinstance(step, HeadPlan) and privacy.profile != "open":
            _check_size(step, cards)
    initial, parameters = _prepare_all(steps, prepare)
    names = sorted(cards)
    subjects = [max(cards[n].subjects, 1) for n in names]
    now = int(time.time())
    outputs = outputs_of(
        steps,
        parameters=parameters,
        privacy=privacy,
        sites=len(names),
        calls=terms.resources.calls,
        vectors_of=_vectors,
    )
    contract = Contract(
        version=1,
        nonce=secrets.token_hex(16),
        requester=scientist.name,
        requester_key=scientist.public_key,
        purpose=terms.purpose,
        dataset=terms.dataset,
        participants=tuple(_participant(cards[n]) for n in names),
        steps=steps,
        outputs=outputs,
        privacy=privacy,
        resources=terms.resources,
        created=now,
        expires=now + round(terms.days * SECONDS_A_DAY),
        weights=tuple(n / sum(subjects) for n in subjects),
        columns=common_columns([c for p in steps for c in columns_of(p)], cards),
        initial=initial,
        parameters=parameters,
        standing=all(isinstance(p, DescribePlan | StatisticsPlan) for p in steps),
    )
    return _with_analyses(contract)


def _with_analyses(contract: Contract) -> Contract:
    """Refuse summed steps that no site could begin, before anybody is asked."""
    for step in contract.steps:
        if isinstance(step, SummedPlan):
            analysis_of(step, contract)
    return contract


def settle_steps(plan: Plan, cards: Mapping[str, DatasetCard]) -> tuple[AnyPlan, ...]:
    """Return the plan's steps with everything that it left open settled.

    Raises
    ------
    PlanError, UnknownNameError, InputError
        A step names what does not exist, or leaves open what cannot be settled.
    """
    given = plan.steps if isinstance(plan, StudyPlan) else (plan,)
    steps: list[AnyPlan] = []
    for step in given:
        if isinstance(step, TrainingPlan):
            steps.append(_settle_training(step, cards))
        elif isinstance(step, EvaluationPlan | EmbeddingPlan):
            model = _settle_model(step.model, steps)
            steps.append(msgspec.structs.replace(step, model=model))
        else:
            if isinstance(step, SummedPlan):
                _check_columns(step, cards)
            if isinstance(step, HeadPlan):
                shared = common_columns(step.columns_used(), cards)
                step = _settle_head(step.settled(shared), steps)
            steps.append(step)  # type: ignore[arg-type]
    return tuple(steps)


def common_columns(
    names: Sequence[str], cards: Mapping[str, DatasetCard]
) -> tuple[Column, ...]:
    """Return declarations that all sites share, labels united.

    Raises
    ------
    UnknownNameError
        A site has no such column.
    PlanError
        Two sites declare a column differently.
    """
    found = []
    for name in dict.fromkeys(names):
        declared = {site: _column(card, name) for site, card in sorted(cards.items())}
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


def _column(card: DatasetCard, name: str) -> Column:
    for column in card.columns:
        if column.name == name:
            return column
    raise UnknownNameError("column", name, (c.name for c in card.columns))


def _grid(column: Column) -> tuple[object, ...]:
    return (column.kind, column.lower, column.upper, column.step, column.resolution)


def _settle_training(
    plan: TrainingPlan, cards: Mapping[str, DatasetCard]
) -> TrainingPlan:
    models.validate(plan.network)
    transforms.validate(plan.transforms)
    check_carried(plan)
    strategy = resolve(plan.strategy)
    if plan.optimiser not in strategy.optimisers:
        message = (
            f"Strategy {strategy.name!r} works with {', '.join(strategy.optimisers)}; "
            f"the plan has {plan.optimiser!r}."
        )
        raise PlanError(message)
    target = settle_target(plan.target, common_columns(plan.outcome, cards))
    plan = msgspec.structs.replace(plan, target=target)
    strategy_of(plan)
    common_columns(plan.covariates, cards)
    offered = dict.fromkeys(m for n in sorted(cards) for m in cards[n].modalities)
    if not offered:
        message = "The dataset has no images; train a head on its columns instead."
        raise PlanError(message)
    for modality in plan.modalities:
        if modality not in offered:
            raise UnknownNameError("modality", modality, offered)
    chosen = plan.modalities or tuple(offered)
    plan = msgspec.structs.replace(plan, modalities=chosen)
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


def _check_size(head: HeadPlan, cards: Mapping[str, DatasetCard]) -> None:
    """Refuse a head that sites would refuse for its size (disclosure rule 9).

    Cards tell rounded counts of all patients, so this finds what cannot pass; sites
    count those with complete values.
    """
    columns = head.coefficients()
    shares = dict(zip(("train", "validation", "test"), _shares(head), strict=True))
    share = shares.get(head.fit_on, 1.0)
    patients = share * sum(card.subjects for card in cards.values())
    if columns > MAX_PARAMETER_SHARE * patients:
        message = (
            f"{columns} coefficients are too many for about {patients:.0f} patients of "
            f"the part {head.fit_on!r}: sites allow {MAX_PARAMETER_SHARE:.0%}. Use "
            'features="score", fewer covariates, a larger part, or more sites.'
        )
        raise PlanError(message)


def _shares(head: HeadPlan) -> tuple[float, float, float]:
    """Return the shares of the three parts; a column's split may give all to one."""
    split = head.split
    if split.column:
        return (1.0, 1.0, 1.0)
    return (split.train, split.validation, split.test)


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


def _settle_head(head: HeadPlan, steps: Sequence[AnyPlan]) -> HeadPlan:
    """Point a study's head at the embedding step: its width and its split."""
    reference = head.embedding
    if reference is None or reference.contract != STUDY:
        return head
    made = steps[reference.step] if 0 <= reference.step < len(steps) else None
    if not isinstance(made, EmbeddingPlan):
        message = f"The study has no embedding step {reference.step} before this one."
        raise PlanError(message)
    training = made.model.training
    width = models.embedding_width(training.network)
    settled = EmbeddingRef(STUDY, reference.step, width, training.split)
    return msgspec.structs.replace(head, embedding=settled, split=training.split)


def contract_privacy(terms: Terms, cards: Mapping[str, DatasetCard]) -> Privacy:
    """Return how a contract's outputs are protected: as the strictest site wants."""
    strictest = PROFILES[next(iter(cards.values())).profile]
    for card in cards.values():
        if not at_least_as_strict(strictest, PROFILES[card.profile]):
            strictest = PROFILES[card.profile]
    profile: ProfileName = terms.profile or strictest.name  # type: ignore[assignment]
    secure = terms.secure_sum
    if secure is None:
        secure = len(cards) >= MINIMUM_SITES
    return Privacy(profile, secure, 0.0 if profile == "open" else 0.1)


def _prepare_all(
    steps: Sequence[AnyPlan], prepare: Callable[[Prepare], Prepared]
) -> tuple[dict[str, str], dict[str, int]]:
    initial: dict[str, str] = {}
    parameters: dict[str, int] = {}
    for number, plan in enumerate(steps):
        if isinstance(plan, TrainingPlan):
            made = prepare(
                Prepare(
                    plan.network, len(plan.modalities), len(plan.covariates), plan.seed
                )
            )
            initial[str(number)] = made.sha256
            parameters[str(number)] = made.parameters
    return initial, parameters


def _participant(card: DatasetCard) -> Participant:
    return Participant(
        card.site, card.signing_key, card.agreement_key, card.fingerprint
    )


def _vectors(spec: StrategySpec, parameters: int) -> dict[str, int]:
    strategy = resolve(spec)
    return {} if strategy.relay else strategy.vectors(parameters)

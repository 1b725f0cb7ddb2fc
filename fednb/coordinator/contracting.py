"""From a plan to a contract: what is left open is settled against the cards."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fednb.coordinator.known_sites import KnownSites
from fednb.coordinator.settling import common_columns, settle_steps
from fednb.coordinator.traffic import check_traffic
from fednb.errors import InputError, PlanError, UnknownNameError
from fednb.privacy.egress import outputs_of
from fednb.privacy.profiles import (
    MAX_PARAMETER_SHARE,
    PROFILES,
    at_least_as_strict,
)
from fednb.privacy.secure_sum import MINIMUM_SITES
from fednb.privacy.shares import check_shares, means_in
from fednb.records.contracts import Contract, Participant, Privacy, Resources
from fednb.records.heads import HeadPlan
from fednb.records.service import Prepare, Prepared
from fednb.records.specs import Plan, StrategySpec, SummedPlan
from fednb.records.tasks import (
    AnyPlan,
    TrainingPlan,
    columns_of,
)
from fednb.storage import secret_file
from fednb.strategies.registry import resolve
from fednb.survival.registry import analysis_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fednb.records.datasets import DatasetCard

DAYS = 30
SECONDS_A_DAY = 86_400
ProfileName = Literal["standard", "rare-disease", "open"]


class Scientist:
    """Who requests: a name to read, and a key that is the identity.

    Parameters
    ----------
    folder
        Where the key is kept, mode 0600, made on first use; and which keys of sites
        are trusted.
    name
        For people.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.known_sites = KnownSites(folder / "known-sites")
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
    standing
        Whether the contract answers queries, rather than one run.
    """

    dataset: str
    purpose: str
    profile: ProfileName | Literal[""] = ""
    secure_sum: bool | None = None
    resources: Resources = field(default_factory=Resources)
    days: float = DAYS
    standing: bool = False


TERMS: Final = ("profile", "secure_sum", "resources", "days")
"""Fields of `Terms` that a scientist may leave out."""


def named(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names as a plan has them; one alone stands for itself."""
    if names is None:
        return None
    return (names,) if isinstance(names, str) else tuple(names)


def participants(sites: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the sites that are to take part; None: all that have the dataset.

    Raises
    ------
    InputError
        There is none.
    """
    names = named(sites)
    if names == ():
        message = "sites=[] asks nobody. Name a site, or leave sites out to ask all."
        raise InputError(message)
    return names


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
    privacy = contract_privacy(terms, cards)
    steps = settle_steps(plan, cards, exact=privacy.profile == "open")
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
        calls=terms.resources.calls if terms.standing else 1,
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
        standing=terms.standing,
    )
    return _checked(contract)


def _checked(contract: Contract) -> Contract:
    """Refuse what no site could begin or would allow, before anybody is asked."""
    for step in contract.steps:
        if isinstance(step, SummedPlan):
            analysis_of(step, contract)
    check_traffic(contract)
    weighed = check_shares(contract.weights, PROFILES[contract.privacy.profile])
    if means_in(contract) and not weighed.allow:
        message = (
            f"One site would all but make the mean by itself: {weighed.reason}. Add "
            "larger sites, or train under differential privacy."
        )
        raise PlanError(message)
    return contract


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

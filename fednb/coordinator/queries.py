"""Queries: signed by the scientist one by one, answered under a standing contract."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fednb.coordinator.contracting import participants
from fednb.coordinator.outcomes import Reading
from fednb.coordinator.settling import common_columns, shared_columns
from fednb.errors import InputError, PlanError, RefusedError, UnknownNameError
from fednb.privacy.tables import StatisticsLayout
from fednb.records.base import canonical
from fednb.records.service import AskQuery, Outcome
from fednb.records.studies import StudyPlan
from fednb.records.tasks import DescribePlan, QueryPlan, StatisticsPlan, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fednb.coordinator.client import Client
    from fednb.coordinator.contracting import Scientist
    from fednb.coordinator.standing import StandingRequests
    from fednb.records.contracts import Contract
    from fednb.records.datasets import DatasetCard

QUESTIONS: Final = "Aggregate statistics of the table, and counts of who has what"
"""Purpose of a standing contract."""


@dataclass(frozen=True)
class Queries:
    """Questions of one scientist about datasets, each answered without a run.

    Attributes
    ----------
    client
        To the coordinator's service.
    scientist
        Who signs them.
    standing
        The contracts under which they are answered.
    cards
        Returns the card of a dataset at each of some sites.
    """

    client: Client
    scientist: Scientist
    standing: StandingRequests
    cards: Callable[[str, Sequence[str]], Mapping[str, DatasetCard]]

    def answer(self, plan: QueryPlan, dataset: str, sites: Sequence[str] | None) -> Any:  # noqa: ANN401
        """Return the result of a plan, asked of all sites at once.

        Parameters
        ----------
        plan
            What to ask; a description counts all of which it says nothing.
        dataset
            Name of the dataset.
        sites
            Participants; None: all that have the dataset.

        Raises
        ------
        UnknownNameError, PlanError
            The plan names what the sites do not have, or not all alike.
        InputError
            Groups are by a number.
        RunError
            An owner has not approved the standing contract yet, or decided against it.
        RefusedError
            A site refused.
        """
        request = self.standing.approved(dataset, participants(sites) or ())
        contract = request.contract
        plan = _closed(plan, contract)
        step = contract.step_for(plan)
        if step is None:
            raise _beyond(plan, contract, self.cards(dataset, contract.sites()))
        if isinstance(plan, StatisticsPlan):
            # a site would refuse what cannot be laid out, and may not say why
            StatisticsLayout.from_plan(plan, contract.columns)
        run = secrets.token_hex(8)
        query = canonical(plan)
        signed = "\x1f".join(("fednb-query", request.hash, run)).encode()
        signature = self.scientist.sign(signed + b"\x1f" + query)
        ask = AskQuery(run, request.hash, step, query, signature)
        try:
            outcome = self.client.ask(ask, Outcome)
        except RefusedError as error:
            # whatever else it was, asking owners for the same again would not help
            self.standing.forget(request, spent=error.cause == "limit")
            raise
        reading = Reading(outcome, contract, self.client.weights)
        return reading.result(plan, outcome.steps[0])


def standing_plan(dataset: str, cards: Mapping[str, DatasetCard]) -> StudyPlan:
    """Return everything that can be asked of a dataset without a run.

    Parameters
    ----------
    dataset
        Its name.
    cards
        Its card at each participant.

    Raises
    ------
    PlanError
        There is no column that all of them declare alike.
    """
    columns = shared_columns(cards)
    if not columns:
        message = (
            f"{', '.join(sorted(cards))} declare no column of {dataset!r} alike. Name "
            "participants that do with sites=[...], or ask the owners to agree on "
            "kind, bounds, step and resolution."
        )
        raise PlanError(message)
    return StudyPlan((StatisticsPlan(columns), DescribePlan(columns)))


def _closed(plan: QueryPlan, contract: Contract) -> QueryPlan:
    """Return a plan that leaves nothing open."""
    everything = next(p for p in contract.steps if type(p) is type(plan))
    if not isinstance(plan, DescribePlan) or not isinstance(everything, DescribePlan):
        return plan
    return DescribePlan(
        everything.columns if plan.columns is None else plan.columns,
        everything.modalities if plan.modalities is None else plan.modalities,
    )


def _beyond(
    plan: QueryPlan, contract: Contract, cards: Mapping[str, DatasetCard]
) -> InputError:
    """Return what is wrong with a plan that the standing contract does not cover."""
    covered = frozenset(name for step in contract.steps for name in names_of(step))
    kind, name = min(names_of(plan) - covered)
    if kind == "column":
        # says which sites lack it, or declare it otherwise
        common_columns((name,), cards)
    return UnknownNameError(kind, name, [n for k, n in covered if k == kind])

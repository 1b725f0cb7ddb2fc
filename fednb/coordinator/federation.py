"""The federation as a scientist holds it: sites, datasets, statistics, requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from fednb.coordinator.client import Client
from fednb.coordinator.contracting import (
    TERMS,
    Scientist,
    Terms,
    contract_privacy,
    draft,
    named,
    participants,
)
from fednb.coordinator.evaluating import PURPOSE, Asked, evaluate, leave_sites_out
from fednb.coordinator.handles import Request, Run
from fednb.coordinator.listings import DatasetIndex, Sites
from fednb.coordinator.queries import QUESTIONS, Queries, standing_plan
from fednb.coordinator.standing import StandingRequests
from fednb.display import html
from fednb.display.hooks import Shown
from fednb.errors import (
    InputError,
    PlanError,
    RunError,
    SiteDownError,
    UnknownNameError,
)
from fednb.records.base import canonical
from fednb.records.contracts import Contract
from fednb.records.service import (
    AskRun,
    FileRequest,
    ListRequests,
    ListRuns,
    RequestLines,
    RunLine,
    RunLines,
)
from fednb.records.specs import Plan
from fednb.records.tasks import DescribePlan, StatisticsPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fednb.coordinator.datasite import DatasiteProxy
    from fednb.coordinator.mockdata import DryRunner
    from fednb.display.html import Html
    from fednb.records.datasets import DatasetCard
    from fednb.results.assessment import EvaluationReport
    from fednb.results.description import DescriptionResult
    from fednb.results.statistics import StatisticsResult
    from fednb.wire.transport import ServicePort


class Federation(Shown):
    """Datasites, and one scientist who asks them.

    Parameters
    ----------
    port
        To the coordinator's service.
    scientist
        Who asks; signs every contract.
    dry_runner
        Runs plans on mock data; None where the federation is not embedded.
    """

    def __init__(
        self,
        port: ServicePort,
        scientist: Scientist,
        dry_runner: DryRunner | None = None,
    ) -> None:
        self._client = Client(port)
        self._scientist = scientist
        names = [line.site for line in self._client.sites().sites]
        known = scientist.known_sites
        self._proxies = {n: self._client.proxy(n, known, dry_runner) for n in names}
        standing = StandingRequests(
            self._standing_contract, self._propose, lambda: self.requests
        )
        self._queries = Queries(self._client, scientist, standing, self._cards)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getitem__(self, site: str) -> DatasiteProxy:
        """Return a datasite by name."""
        return Sites((), self._proxies)[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._proxies)

    def __len__(self) -> int:
        return len(self._proxies)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._proxies)

    @property
    def datasites(self) -> Sites:
        """The datasites, by name, each asked how it is."""
        return Sites(self._client.sites().sites, self._proxies)

    @property
    def datasets(self) -> DatasetIndex:
        """All datasets that can be found now; other sites are named, with the cause.

        A site is named that is down, refuses, or publishes under keys that are not
        those that the scientist trusts; asked by itself, ``fed[site].datasets``, it
        raises the error.
        """
        return DatasetIndex.of(self._proxies)

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests made from this coordinator, newest first."""
        lines = self._client.ask(ListRequests(), RequestLines).requests
        return tuple(
            self._request(msgspec.json.decode(r.contract, type=Contract), r.signature)
            for r in lines
        )

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, newest first."""
        lines = self._client.ask(ListRuns(), RunLines).runs
        contracts = {r.hash: r.contract for r in self.requests}
        return tuple(
            Run(line.run, contracts[line.contract], self._client, _seen=[line])
            for line in lines
        )

    def run(self, run: str) -> Run:
        """Attach to a run by its id."""
        line = self._client.ask(AskRun(run), RunLine)
        contract = next(r.contract for r in self.requests if r.hash == line.contract)
        return Run(run, contract, self._client)

    def request(
        self,
        plan: Plan,
        *,
        dataset: str = "",
        purpose: str = "",
        sites: Sequence[str] | None = None,
        **terms: Any,  # noqa: ANN401
    ) -> Request:
        """Ask every site that has the dataset to approve a plan.

        Parameters
        ----------
        plan
            What to do.
        dataset
            Name of the dataset; empty where the sites publish only one.
        purpose
            Why: site owners decide by it.
        sites
            Participants; None: all that have the dataset.
        **terms
            Further fields of `fednb.coordinator.contracting.Terms`: profile,
            secure_sum, resources, days.

        Raises
        ------
        PlanError, UnknownNameError, InputError
            The plan cannot run as written; nobody was asked.
        RefusedError
            A site refused the contract outright.
        """
        given: object = plan
        if not isinstance(given, Plan):
            message = (
                f"A request needs a plan, such as fednb.TrainingPlan(...); got "
                f"{type(given).__name__}."
            )
            raise PlanError(message)
        name = dataset or self._only_dataset()
        cards = self._cards(name, sites)
        for term in terms:
            if term not in TERMS:
                kind = "term of a request"
                raise UnknownNameError(kind, term, TERMS)
        return self._propose(self._draft(plan, Terms(name, purpose, **terms), cards))

    def statistics(
        self,
        dataset: str,
        columns: Sequence[str],
        by: str = "",
        *,
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
        sites: Sequence[str] | None = None,
    ) -> StatisticsResult:
        """Return pooled statistics under a standing contract.

        Parameters
        ----------
        dataset
            Name of the dataset.
        columns
            Columns to summarise.
        by
            Column to group by; empty: none.
        quantiles
            Probabilities within .05 and .95.
        sites
            Participants; None: all that have the dataset.

        Raises
        ------
        UnknownNameError
            No such dataset or column.
        PlanError
            Not all sites have a column, or they declare it differently.
        RunError
            An owner has not approved the standing contract yet, or decided against it.
        """
        plan = StatisticsPlan(named(columns) or (), by, tuple(quantiles))
        found: StatisticsResult = self._queries.answer(plan, dataset, sites)
        return found

    def describe(
        self,
        dataset: str = "",
        *,
        columns: Sequence[str] | None = None,
        modalities: Sequence[str] | None = None,
        sites: Sequence[str] | None = None,
    ) -> DescriptionResult:
        """Return how many patients have what, under the same standing contract.

        Parameters
        ----------
        dataset
            Name of the dataset; empty where the sites publish only one.
        columns
            Columns whose values are counted; None: all that the sites declare alike.
        modalities
            Modalities whose patients are counted; None: all that any site has.
        sites
            Participants; None: all that have the dataset.

        Raises
        ------
        UnknownNameError, PlanError, RunError
            As for `statistics`.
        """
        plan = DescribePlan(named(columns), named(modalities))
        name = dataset or self._only_dataset()
        found: DescriptionResult = self._queries.answer(plan, name, sites)
        return found

    def evaluate(
        self,
        model: object,
        *,
        dataset: str = "",
        sites: Sequence[str] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> EvaluationReport:
        """Return how well a finished model predicts, at sites old or new.

        Parameters
        ----------
        model
            Result of a `CoxPlan`, `LogisticPlan` or `EmbeddingPlan`, or a
            `FixedModel`. At sites that had no part in its fit, all their patients are
            assessed; else the test patients.
        dataset, sites
            As for `request`.
        **settings
            See `fednb.coordinator.evaluating.evaluate`.

        Raises
        ------
        PlanError, UnknownNameError
            The model cannot be assessed as asked; nobody was asked.
        RunError, RefusedError
            An owner denied, the time is over, or a site refused.
        """
        return evaluate(self, model, Asked.of(dataset, sites, settings), settings)

    def leave_one_site_out(
        self,
        plan: Plan,
        *,
        dataset: str = "",
        sites: Sequence[str] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> dict[str, EvaluationReport]:
        """Fit a head without each site in turn and evaluate it there.

        Parameters
        ----------
        plan, **settings
            See `fednb.coordinator.evaluating.leave_sites_out`.
        dataset, sites
            As for `request`; at least four sites.

        Raises
        ------
        PlanError, UnknownNameError
            A fold's fit may not leave, or the plan is no head; nobody was asked.
        """
        name = dataset or self._only_dataset()
        cards = self._cards(name, sites)
        strictest = contract_privacy(Terms(name, PURPOSE), cards).profile
        terms = {"profile": strictest, **settings}
        asked = Asked.of(name, sorted(cards), settings)
        return leave_sites_out(self, plan, asked, terms)

    def close(self) -> None:
        """Let go of the service."""
        self._client.port.close()

    def _standing_contract(self, dataset: str, sites: tuple[str, ...]) -> Contract:
        cards = self._cards(dataset, sites or None)
        terms = Terms(dataset, QUESTIONS, standing=True)
        return self._draft(standing_plan(dataset, cards), terms, cards)

    def _draft(
        self, plan: Plan, terms: Terms, cards: dict[str, DatasetCard]
    ) -> Contract:
        return draft(plan, terms, cards, self._scientist, self._client.prepare)

    def _propose(self, contract: Contract) -> Request:
        body = canonical(contract)
        signature = self._scientist.sign(body)
        self._client.ask(FileRequest(body, signature), RequestLines)
        for name in contract.sites():
            self._proxies[name].propose(body, signature)
        return self._request(contract, signature)

    def _request(self, contract: Contract, signature: bytes) -> Request:
        return Request(contract, signature, self._client, self._proxies)

    def _cards(
        self, dataset: str, sites: Sequence[str] | None
    ) -> dict[str, DatasetCard]:
        """Return the card of a dataset at each site that takes part."""
        asked = participants(sites)
        names = sorted(self._proxies if asked is None else asked)
        found, away = {}, []
        for name in names:
            try:
                known = self[name].datasets
            except SiteDownError:
                away.append(name)
                continue
            if dataset in known:
                found[name] = known[dataset].card
        if away:
            # leaving it out in silence would ask another question than was meant
            message = (
                f"{', '.join(away)} cannot be reached: wait, or name the participants "
                "with sites=[...] to go on without."
            )
            raise RunError(message, site=away[0], cause="unreachable")
        if not found:
            raise UnknownNameError("dataset", dataset, {d.name for d in self.datasets})
        missing = sorted(set(asked or ()) - set(found))
        if missing:
            message = f"{', '.join(missing)} has no dataset {dataset!r}."
            raise InputError(message)
        return found

    def _only_dataset(self) -> str:
        names = sorted({d.name for d in self.datasets})
        if len(names) == 1:
            return names[0]
        message = f"Name the dataset: there are {', '.join(names) or 'none'}."
        raise InputError(message)

    def _text(self) -> str:
        sites = ", ".join(sorted(self._proxies))
        return f"Federation of {len(self._proxies)} datasites: {sites}"

    def _html(self) -> Html:
        rows = [(n, "datasite") for n in sorted(self._proxies)]
        return html.table(("Federation", ""), rows)

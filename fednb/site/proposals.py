"""Checks of a proposed contract: an owner is shown only what is what it seems."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING

from fednb.errors import FednbError
from fednb.imaging import transforms
from fednb.models import registry as models
from fednb.privacy.dp import check_dp
from fednb.privacy.egress import outputs_of
from fednb.privacy.profiles import PROFILES
from fednb.privacy.shares import check_shares, means_in
from fednb.privacy.tables import DescribeLayout
from fednb.records.carried import check_carried, training_of
from fednb.records.edges import check_edges
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    QueryPlan,
    TrainingPlan,
    columns_of,
)
from fednb.site.policy import check_contract
from fednb.site.verdicts import deny, settle
from fednb.strategies.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.records.contracts import Contract
    from fednb.records.datasets import Column, Manifest
    from fednb.records.outputs import Decision
    from fednb.records.specs import StrategySpec
    from fednb.site.catalog import Catalog
    from fednb.site.keys import SiteKeys
    from fednb.site.peers import Peers
    from fednb.site.policy import Policy

MAX_STEPS = 20
CONTRACT_VERSION = 1


def strategy_vectors(spec: StrategySpec, parameters: int) -> dict[str, int]:
    """Return the vectors of a strategy's site half; empty for a relay."""
    strategy = resolve(spec)
    return {} if strategy.relay else strategy.vectors(parameters)


def check_proposal(
    contract: Contract,
    *,
    site: str,
    keys: SiteKeys,
    catalog: Catalog,
    policy: Policy,
    peers: Peers,
) -> Decision:
    """Say whether an owner can consider a contract: it must be what it seems.

    Parameters
    ----------
    contract
        As signed by the requester.
    site, keys, catalog, policy, peers
        Of this site.
    """
    proposal = _proposal(contract, site, keys, catalog, policy)
    return settle(chain(proposal, [peers.check(contract, policy.peers)]))


def _proposal(
    contract: Contract, site: str, keys: SiteKeys, catalog: Catalog, policy: Policy
) -> Iterator[Decision]:
    yield from _shape(contract)
    yield from _participants(contract, site, keys)
    dataset = catalog.find(contract.dataset)
    if dataset is None:
        reason = f"No dataset {contract.dataset!r}; there are {catalog.names()}."
        yield deny("contract.dataset", reason, "unknown-dataset")
        return
    named = next(p for p in contract.participants if p.site == site)
    if named.fingerprint != dataset.fingerprint:
        reason = "The contract names another version of the dataset."
        yield deny("contract.fingerprint", reason, "fingerprint")
    yield from _columns(contract, dataset.manifest.columns)
    yield from _outputs(contract, dataset.manifest)
    if means_in(contract):
        yield check_shares(contract.weights, PROFILES[contract.privacy.profile])
    yield check_contract(policy, contract)


def _outputs(contract: Contract, manifest: Manifest) -> Iterator[Decision]:
    try:
        for plan in contract.steps:
            check_plan(plan, manifest)
            if contract.privacy.profile != "open":
                check_edges(plan, manifest.columns)
        derived = outputs_of(
            contract.steps,
            parameters=contract.parameters,
            privacy=contract.privacy,
            sites=len(contract.participants),
            calls=contract.resources.calls if contract.standing else 1,
            vectors_of=strategy_vectors,
        )
    except FednbError as error:
        yield deny("contract.plan", str(error), "not-in-contract")
        return
    if derived != contract.outputs:
        reason = "The outputs named are not those that the steps need."
        yield deny("contract.outputs", reason, "not-in-contract")


def check_plan(plan: AnyPlan, manifest: Manifest) -> None:
    """Refuse a plan that names what does not exist.

    Raises
    ------
    FednbError
        An unknown model, transform, strategy, column or modality; or what is described
        is left open. Of a modality that it lacks a site counts nobody.
    """
    known = [column.name for column in manifest.columns]
    missing = [name for name in columns_of(plan) if name not in known]
    trained = training_of(plan)
    if trained is not None:
        check_carried(trained)
    if isinstance(plan, DescribePlan):
        DescribeLayout.from_plan(plan)
    if isinstance(plan, TrainingPlan):
        models.validate(plan.network)
        transforms.validate(plan.transforms)
        strategy = resolve(plan.strategy)
        if plan.dp is not None:
            strategy.check_private()
            check_dp(plan)
        missing += [m for m in plan.modalities if m not in manifest.modalities]
    if missing:
        message = f"The dataset has no {', '.join(missing)}; it has {sorted(known)}."
        raise FednbError(message)


def _shape(contract: Contract) -> Iterator[Decision]:
    now = time.time()
    if contract.version != CONTRACT_VERSION or not (
        1 <= len(contract.steps) <= MAX_STEPS
    ):
        reason = f"Version {contract.version}, {len(contract.steps)} steps."
        yield deny("contract.version", reason, "malformed")
    if contract.expires <= now:
        yield deny("contract.expiry", f"Expired at {contract.expires}.", "expired")
    kinds = {type(p) for p in contract.steps if isinstance(p, QueryPlan)}
    # one step a kind: a query is answered once, whoever relays it
    if contract.standing and len(kinds) < len(contract.steps):
        reason = "A standing contract answers statistics and descriptions, each once."
        yield deny("contract.standing", reason, "not-in-contract")


def _participants(contract: Contract, site: str, keys: SiteKeys) -> Iterator[Decision]:
    names = contract.sites()
    if list(names) != sorted(set(names)) or len(contract.weights) != len(names):
        reason = f"Participants must be sorted and unique; got {names}."
        yield deny("contract.participants", reason, "participants")
    weights_hold = (
        all(0 < w <= 1 for w in contract.weights)
        and abs(sum(contract.weights) - 1) < 1e-9
    )
    if not weights_hold:
        reason = f"Weights must be positive and sum to 1; got {contract.weights}."
        yield deny("contract.weights", reason, "participants")
    mine = [p for p in contract.participants if p.site == site]
    if not mine or (mine[0].signing_key, mine[0].agreement_key) != (
        keys.signing_public,
        keys.agreement_public,
    ):
        reason = f"{site} does not take part under its own keys."
        yield deny("contract.participants", reason, "participants")


def _columns(contract: Contract, declared: tuple[Column, ...]) -> Iterator[Decision]:
    # grid, bounds and resolution are the owner's to set
    mine = {column.name: column for column in declared}
    for column in contract.columns:
        own = mine.get(column.name)
        same = own is not None and _grid_of(own) == _grid_of(column)
        if not same or not set(own.levels if own else ()) <= set(column.levels):
            reason = f"Column {column.name!r} is declared otherwise at this site."
            yield deny("contract.columns", reason, "not-in-contract")


def _grid_of(column: Column) -> tuple[object, ...]:
    return (column.kind, column.lower, column.upper, column.step, column.resolution)

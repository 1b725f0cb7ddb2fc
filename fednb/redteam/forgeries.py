"""Contracts and calls that no site may answer."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from fednb.records.base import canonical
from fednb.records.heads import LogisticPlan
from fednb.records.messages import Call, Propose
from fednb.records.outputs import Place
from fednb.records.specs import SplitSpec
from fednb.records.tasks import StatisticsPlan
from fednb.redteam.world import THREE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.records.contracts import Contract
    from fednb.records.messages import Ask
    from fednb.redteam.world import World

    Forgery = tuple[str, str, Ask]

QUERY = StatisticsPlan(("age",), "male")


def forgeries(world: World) -> Iterator[Forgery]:
    """Yield what is forged, the site that gets it, and the message."""
    yield from _proposals(world)
    yield from _queries(world)
    yield from _runs(world)


def _fresh(contract: Contract, **changes: object) -> Contract:
    return msgspec.structs.replace(contract, nonce=secrets.token_hex(16), **changes)


def _proposals(world: World) -> Iterator[Forgery]:
    owner, thief = world.coordinator.scientist, world.stranger.scientist
    honest = world.coordinator.contract(QUERY, THREE)
    body = canonical(honest)
    signed = owner.sign(body)
    yield "signed by another key", "a", Propose(body, thief.sign(body))
    yield "not signed", "a", Propose(body, b"")
    yield "signature of nothing", "a", Propose(body, bytes(64))
    edited = body.replace(b"to see what happens", b"to see what HAPPENS")
    yield "edited after signing", "a", Propose(edited, signed)
    yield "white space added", "a", Propose(body + b" ", owner.sign(body + b" "))
    for name, contract in _edited(world, honest):
        made = canonical(contract)
        yield name, "a", Propose(made, owner.sign(made))


def _edited(world: World, honest: Contract) -> Iterator[tuple[str, Contract]]:
    """Yield contracts that are rightly signed, and ask for what is not theirs."""
    replace = msgspec.structs.replace
    first = honest.participants[0]
    others = honest.participants[1:]
    theirs = world.coordinator.scientist.public_key
    yield "expired", _fresh(honest, expires=honest.created)
    yield (
        "loosened profile",
        _fresh(honest, privacy=replace(honest.privacy, profile="open")),
    )
    yield (
        "another fingerprint",
        _fresh(honest, participants=(replace(first, fingerprint="0" * 64), *others)),
    )
    for field in ("agreement_key", "signing_key"):
        swapped = replace(first, **{field: theirs})
        yield (
            f"own {field} for the site's",
            _fresh(honest, participants=(swapped, *others)),
        )
    yield "another dataset", _fresh(honest, dataset="elsewhere")
    yield (
        "without the site",
        _fresh(honest, participants=others, weights=honest.weights[1:]),
    )
    yield "site twice", _fresh(honest, participants=(first, first, *others[1:]))
    spec = replace(honest.outputs[0], elements=10**9, bytes=10**10)
    yield "larger outputs", _fresh(honest, outputs=(spec,))
    yield (
        "in the clear",
        _fresh(honest, outputs=(replace(honest.outputs[0], kind="weights"),)),
    )
    yield (
        "another grid",
        _fresh(
            honest, columns=(replace(honest.columns[0], step=0.01), *honest.columns[1:])
        ),
    )
    yield (
        "more calls than allowed",
        _fresh(honest, resources=replace(honest.resources, calls=10**9)),
    )
    yield "another version", _fresh(honest, version=2)


def _queries(world: World) -> Iterator[Forgery]:
    team = world.coordinator
    honest = team.contract(QUERY, THREE)
    call = team.query("a", honest, QUERY)
    yield "never proposed", "a", call
    team.obtain(honest)
    stolen = world.stranger.query("a", honest, QUERY)
    yield "query of another key", "a", stolen
    replace = msgspec.structs.replace
    yield "query without signature", "a", replace(call, query_signature=b"")
    yield "edited query", "a", replace(call, query=call.query.replace(b"age", b"idh"))
    wider = StatisticsPlan(("age", "volume"), "male")
    yield "a column more", "a", team.query("a", honest, wider)
    yield "a second round", "a", replace(call, place=replace(call.place, round=1))
    yield "a second attempt", "a", replace(call, place=replace(call.place, attempt=1))
    team.send("a", call)
    # two vectors under one mask would show their difference
    again = team.query(
        "a", honest, StatisticsPlan(("age",)), run=call.place.run, name="another"
    )
    yield "another query in the same place", "a", again
    yield "another query under the same id", "a", replace(again, id=call.id)


def _runs(world: World) -> Iterator[Forgery]:
    team = world.coordinator
    plan = LogisticPlan(
        target="death",
        covariates=("age",),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        fit_on="train",
        evaluate_on="none",
    )
    contract = team.contract(plan, THREE)
    team.obtain(contract)
    run = secrets.token_hex(8)
    parts = team.round(contract, run, 0)

    def call(run: str, round_: int, attempt: int = 0, step: int = 0) -> Call:
        place = Place(contract.hash(), step, run, round_, attempt)
        return Call(secrets.token_hex(8), place, relayed=parts if round_ else ())

    yield "a second run of one contract", "a", call(secrets.token_hex(8), 0)
    yield "a round too early", "a", call(run, 2)
    yield "a step that is not there", "a", call(run, 1, step=1)
    yield "a negative attempt", "a", call(run, 1, -1)
    yield "a round far on", "a", call(run, 10**6)
    other = team.contract(plan, THREE)
    team.obtain(other)
    yield (
        "a run of another contract",
        "a",
        msgspec.structs.replace(call(run, 0), place=Place(other.hash(), 0, run, 0, 0)),
    )

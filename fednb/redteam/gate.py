"""Attacks on the gate: filters as an oracle, error messages, and forged contracts."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.messages import Propose, Refusal, Release, State
from fednb.records.specs import SplitSpec
from fednb.records.tasks import StatisticsPlan
from fednb.redteam import peers
from fednb.redteam.forgeries import forgeries
from fednb.redteam.outcome import FEDNB, Attack, Outcome
from fednb.redteam.people import people
from fednb.redteam.world import SIZES, THREE
from fednb.wire.codec import decode_reply

if TYPE_CHECKING:
    import pandas as pd

    from fednb.records.contracts import Contract
    from fednb.records.messages import Reply
    from fednb.redteam.world import World

PATIENTS: Final = 60
TARGETS: Final = 20
ATTRIBUTES: Final = ("idh", "mgmt", "male")
WHOLE: Final = SplitSpec(train=1.0, validation=0.0, test=0.0)

_FILTER = "Filter for two strangers and a patient if she has it: answered or refused?"
_ERROR = "Make a task fail, and read what its error says."
_FORGE = "Send contracts and calls that are forged, replayed, edited or expired."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    oracle, message, contract = (
        "filters used as an oracle",
        "planted PHI in an exception message",
        "forged, replayed, expired or edited contract",
    )
    return (
        Attack(oracle, FEDNB, _FILTER, lambda rng: _filters(world, rng)),
        Attack(oracle, peers.DSBASE, _FILTER, _filters_peer),
        Attack(message, FEDNB, _ERROR, lambda rng: _errors(world, rng)),
        Attack(message, peers.VANTAGE6, _ERROR, _errors_peer),
        Attack(contract, FEDNB, _FORGE, lambda rng: _contracts(world, rng)),
        Attack(contract, peers.VANTAGE6, _FORGE, _contracts_peer),
    )


def _filters_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, PATIENTS)
    hits = 0
    for i in range(found.n):
        others = [j for j in range(found.n) if j != i][: peers.LEAST[peers.DSBASE] - 1]
        guess = []
        for attribute in found.binary.T:
            rows = np.zeros(found.n, dtype=bool)
            rows[others] = True
            rows[i] = bool(attribute[i])
            guess.append(float(peers.answers(rows, peers.DSBASE)))
        hits += bool((np.asarray(guess) == found.binary[i]).all())
    return Outcome(hits, found.n, note="three attributes of each")


def _filters(world: World, rng: np.random.Generator) -> Outcome:
    """Hide a filter in every name that a plan holds; compare what has it with not."""
    hits, told = 0, 0
    table = world.tables["a"]
    honest = world.coordinator.contract(StatisticsPlan(("age",), "male"), ("a",))
    for i in rng.permutation(len(table))[:TARGETS].tolist():
        guess = []
        for name in ATTRIBUTES:
            answers = [_oracle(world, honest, table, i, (name, v)) for v in (0, 1)]
            told += answers[0] != answers[1]
            # only the value that she has is answered like a cohort that is large
            guess.append(answers.index("answered") if answers[0] != answers[1] else -1)
        hits += guess == [int(table[name].iloc[i]) for name in ATTRIBUTES]
    pairs = TARGETS * len(ATTRIBUTES)
    note = f"{told} of {pairs} pairs of filters were answered differently"
    return Outcome(hits, TARGETS, note=note)


def _oracle(
    world: World, honest: Contract, table: pd.DataFrame, i: int, asked: tuple[str, int]
) -> str:
    """Return how a site answers plans with one filter hidden in them."""
    name, value = asked
    age = float(table["age"].iloc[i])
    rule = f"age == {age!r} and {name} == {value} or patient_id in @two"
    step = honest.steps[0]
    plans = (
        msgspec.structs.replace(step, by=rule),
        msgspec.structs.replace(step, columns=(rule,)),
        msgspec.structs.replace(step, columns=(f"{name}[{rule}]",), by=""),
    )
    replies = []
    for plan in plans:
        forged = msgspec.structs.replace(
            honest, steps=(plan,), nonce=secrets.token_hex(16)
        )
        replies.append(_told(world.coordinator.propose("a", forged)))
    return "answered" if "approved" in replies else ",".join(replies)


def _told(reply: Reply) -> str:
    if isinstance(reply, Refusal):
        return reply.cause
    return reply.status if isinstance(reply, State) else type(reply).__name__


def _errors_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    for i in range(TARGETS):
        name = f"Jane^Doe^{rng.integers(10**6)}^{i}"
        hits += name in peers.failure(["1.5", name])
    return Outcome(hits, TARGETS, note="the first row that cannot be read is quoted")


def _errors(world: World, rng: np.random.Generator) -> Outcome:
    """Let tasks fail on the patients' own values; search all that ever left."""
    del rng
    before = len(world.frames)
    for column in ("volume", "age", "diagnosis", "marker", "os_months"):
        split = SplitSpec(column=column)
        plans: list[CoxPlan | LogisticPlan] = [
            LogisticPlan(
                target="death", covariates=("age",), split=split, fit_on="train"
            ),
            LogisticPlan(
                target="death",
                covariates=(column if column != "diagnosis" else "age",),
                split=WHOLE,
                fit_on="train",
                evaluate_on="test",
            ),
            CoxPlan(
                duration="os_months", event="death", covariates=("age",), split=split
            ),
        ]
        for plan in plans:
            _run(world, plan)
            _run(world, plan, target=column)
    world.publish("a", "torn", world.tables["a"].head(30))
    torn = world.coordinator.contract(StatisticsPlan(("age",)), ("a",), dataset="torn")
    world.coordinator.obtain(torn)
    world.tear("a", "torn", "Jane^Doe^1961-02-03")
    world.coordinator.ask_all(torn, StatisticsPlan(("age",)))
    replies = [decode_reply(frame) for frame in world.frames[before:]]
    refusals = sum(isinstance(reply, Refusal) for reply in replies)
    everything = b"\x00".join(world.frames)
    hits = int(b"Jane^Doe" in everything)
    hits += _patients_in(world, everything)
    note = f"{refusals} failures; {len(everything) / 1e6:.1f} MB of answers searched"
    return Outcome(hits, sum(SIZES.values()) + 1, note=note)


def _patients_in(world: World, everything: bytes) -> int:
    """Return whose id, or whose exact age or volume, stands anywhere in what left.

    Written out, or as the eight bytes of a float at any offset.
    """
    words = set(re.findall(rb"\d+\.\d{5,}|[a-z]-patient-\d+", everything))
    real = world.numbers("age", "volume", sites=tuple(SIZES))
    ids = [i for site in SIZES for i in world.tables[site]["patient_id"]]
    found = {j for j, i in enumerate(ids) if str(i).encode() in words}
    for j, row in enumerate(real.tolist()):
        found |= {j} if any(str(value).encode() in words for value in row) else set()
    for start in range(8):
        size = (len(everything) - start) // 8
        raw = np.frombuffer(everything, "<f8", size, start)
        meets = np.isin(real, raw[(raw >= real.min()) & (raw <= real.max())])
        found |= set(np.flatnonzero(meets.any(axis=1)).tolist())
    return len(found)


def _run(world: World, plan: CoxPlan | LogisticPlan, target: str = "") -> None:
    """Run a head as far as it goes, on an outcome that fits no model."""
    honest = world.coordinator.contract(plan, THREE)
    if target:
        field = "target" if isinstance(plan, LogisticPlan) else "event"
        step = msgspec.structs.replace(plan, **{field: target})
        honest = msgspec.structs.replace(honest, steps=(step,))
    if world.coordinator.obtain(honest):
        world.coordinator.fit(honest, 4)


def _contracts_peer(rng: np.random.Generator) -> Outcome:
    del rng
    approved = {"image": "registry/average:1", "arguments": "age", "by": "alice"}
    tasks = [
        {**approved, "arguments": "patient_id"},
        {**approved, "by": "mallory"},
        {**approved, "expires": "1999-01-01"},
        {**approved, "arguments": "age, one more time"},
        {**approved, "image": "registry/evil:1"},
    ]
    images = frozenset({approved["image"]})
    answered = sum(peers.accepts(task, images) for task in tasks)
    return Outcome(answered, len(tasks), "messages", "the image is known, no more")


def _contracts(world: World, rng: np.random.Generator) -> Outcome:
    del rng
    passed, tried = [], 0
    for name, site, ask in forgeries(world):
        reply = world.coordinator.send(site, ask)
        tried += 1
        bad = isinstance(reply, Release)
        if isinstance(ask, Propose):
            bad = not isinstance(reply, Refusal)
        passed += [name] if bad else []
    return Outcome(len(passed), tried, "messages", ", ".join(passed))

"""Attacks on iterative fits: totals at coefficients that the requester chose."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.privacy.pool import total
from fednb.records.arrays import pack, unpack
from fednb.records.heads import LogisticPlan
from fednb.records.messages import Call, Release
from fednb.records.outputs import Attestation, Place
from fednb.records.specs import SplitSpec
from fednb.redteam import peers
from fednb.redteam.outcome import FEDNB, Attack, Outcome, recovered
from fednb.redteam.people import people
from fednb.redteam.world import THREE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.outputs import Output
    from fednb.redteam.world import World

    Floats = NDArray[np.float64]
    Score = Callable[[Floats], Floats]

STEEP: Final = 1e7
DEPTH: Final = 30

_CHOSEN = "Ask for scores at steep coefficients; a hyperplane slides past each row."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    name = "totals at chosen coefficients"
    return (
        Attack(name, FEDNB, _CHOSEN, lambda rng: _forge(world, rng)),
        Attack(name, peers.DSBASE, _CHOSEN, lambda rng: _peer(rng, (60,))),
        Attack(name, peers.UNVERIFIED, _CHOSEN, lambda rng: _peer(rng, (60, 60, 60))),
    )


def rows_between(
    score: Score, direction: Floats, low: float, high: float, depth: int = DEPTH
) -> list[Floats]:
    """Return the rows that single cuts of a sliding hyperplane part from the others.

    In the limit of steep coefficients a chance is 1 on one side and 0 on the other: two
    scores differ by the sum of the rows in between, and their last element, the
    intercept's, by how many there are.

    Parameters
    ----------
    score
        Total score at any coefficients, shape (p + 1,), the intercept last.
    direction
        Shape (p,).
    low, high
        Cuts along the direction.
    depth
        Halvings left.
    """
    difference = _at(score, direction, high) - _at(score, direction, low)
    count = round(float(difference[-1]))
    if count == 1:
        return [difference[:-1]]
    if count < 1 or depth == 0:
        return []
    middle = (low + high) / 2
    left = rows_between(score, direction, low, middle, depth - 1)
    return left + rows_between(score, direction, middle, high, depth - 1)


def _at(score: Score, direction: Floats, cut: float) -> Floats:
    return score(STEEP * np.append(direction, -cut))


def _peer(rng: np.random.Generator, sites: tuple[int, ...]) -> Outcome:
    parts = [people(rng, n) for n in sites]
    x = [np.column_stack([p.x / 100, p.binary, np.ones(p.n)]) for p in parts]

    def score(b: Floats) -> Floats:
        pairs = zip(x, parts, strict=True)
        found = np.zeros(b.size)
        for z, part in pairs:
            found += peers.score(z, part.event, b)
        return found

    direction = rng.normal(size=x[0].shape[1] - 1)
    claims = np.asarray(rows_between(score, direction, -20.0, 20.0))
    truth = np.concatenate(x)[:, :-1]
    hits = recovered(claims, truth, truth.std(axis=0))
    return Outcome(hits, len(truth), note="whole rows, five attributes each")


def _forge(world: World, rng: np.random.Generator) -> Outcome:
    """Relay forged parts, so that sites would derive coefficients of one's choice."""
    plan = LogisticPlan(
        target="death",
        covariates=("age", "volume", "idh"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        fit_on="train",
        evaluate_on="none",
    )
    contract = world.coordinator.contract(plan, THREE)
    other = world.coordinator.contract(plan, THREE)
    for made in (contract, other):
        world.coordinator.obtain(made)
    run, strange = secrets.token_hex(8), secrets.token_hex(8)
    moments = world.coordinator.round(contract, run, 0)
    score = world.coordinator.round(contract, run, 1, moments)
    elsewhere = world.coordinator.round(
        other, strange, 1, world.coordinator.round(other, strange, 0)
    )
    answered = 0
    forgeries = _forgeries(score, moments, elsewhere, rng)
    for turn, parts in enumerate(forgeries):
        for site in THREE:
            place = Place(contract.hash(), 0, run, 2, turn)
            ask = Call(f"{run}.forged.{turn}.{site}", place, relayed=parts)
            answered += isinstance(world.coordinator.send(site, ask), Release)
    answered += _with_arrays(world, contract, run, score)
    tried = len(forgeries) * len(THREE)
    patients = len(world.numbers("age"))
    # whoever chooses coefficients gets the rows, as the unverified sum shows
    note = f"{answered} of {tried} forged histories were answered"
    return Outcome(patients if answered else 0, patients, note=note)


def _forgeries(
    score: tuple[Output, ...],
    moments: tuple[Output, ...],
    elsewhere: tuple[Output, ...],
    rng: np.random.Generator,
) -> list[tuple[Output, ...]]:
    """Return histories that no honest coordinator relays."""
    replace = msgspec.structs.replace
    first, second, third = score
    forged: list[tuple[Output, ...]] = []
    for scale in (2.0**31, 2.0**40, 2.0**50):
        values = np.asarray(unpack(first.data)).copy()
        values += rng.integers(0, int(scale), values.size).astype(values.dtype)
        forged.append((replace(first, data=pack(values)), second, third))
    forged += [
        (replace(first, data=second.data), second, third),
        (replace(second, site=first.site), second, third),
        (_listed(replace(first, data=second.data)), second, third),
        (first, first, third),
        (first, second),
        (replace(first, attestation=Attestation()), second, third),
        (_signed(first, secrets.token_bytes(64)), second, third),
        (replace(first, attestation=second.attestation), second, third),
        (elsewhere[0], second, third),
        elsewhere,
        moments,
        (*score, first),
        (),
        (replace(first, kind="table"), second, third),
        (replace(first, place=elsewhere[0].place), second, third),
    ]
    return forged


def _signed(output: Output, signature: bytes) -> Output:
    """Return an output whose attestation has another signature."""
    said = msgspec.structs.replace(output.attestation, signature=signature)
    return msgspec.structs.replace(output, attestation=said)


def _listed(output: Output) -> Output:
    """Return an output that was added to what its site had signed."""
    leaves = (*output.attestation.leaves, output.leaf())
    said = msgspec.structs.replace(output.attestation, leaves=leaves)
    return msgspec.structs.replace(output, attestation=said)


def _with_arrays(
    world: World, contract: Contract, run: str, score: tuple[Output, ...]
) -> int:
    """Send coefficients beside the true history; count answers that they moved."""
    found = []
    for attempt, steep in enumerate((0.0, STEEP)):
        arrays = {"beta": pack(np.full(4, steep)), "weights": pack(np.full(4, steep))}
        outputs: list[Output] = []
        for site in THREE:
            place = Place(contract.hash(), 0, run, 2, 100 + attempt)
            ask = Call(f"{run}.b{attempt}.{site}", place, arrays, score)
            reply = world.coordinator.send(site, ask)
            outputs += reply.outputs if isinstance(reply, Release) else ()
        found.append(outputs)
    if len(found[1]) < len(THREE) or len(found[0]) < len(THREE):
        return 0
    before, after = (total(parts, THREE, training=False) for parts in found)
    return int(not np.array_equal(before, after))

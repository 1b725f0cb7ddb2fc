"""Attacks on edges that a requester names: ends of intervals, knots of splines."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.privacy.egress import outputs_of
from fednb.records.heads import CoxPlan
from fednb.records.messages import Call, Refusal, Release
from fednb.records.outcomes import Survival
from fednb.records.outputs import Place
from fednb.records.specs import SplitSpec
from fednb.records.tasks import TrainingPlan
from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome, beyond
from fednb.redteam.people import people
from fednb.redteam.reading import isolated
from fednb.redteam.world import SIZES, THREE
from fednb.survival.deepcox import interval_codes, merge_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.tasks import AnyPlan
    from fednb.redteam.world import World

    Floats = NDArray[np.float64]
    Counted = Callable[[float], float | None]

LONGEST: Final = 150.0
"""Months of follow-up, about: what an attacker may guess."""

WIDTH: Final = 0.5
"""Edges are brought as near to each other as this, in months."""

ANSWERS: Final = 60
"""Fits that one attack lets a site answer; refusals are not counted."""

EXITS: Final = 5
"""Exit times that are looked for by refusals alone."""

KNOTS: Final = 240
"""Knots a fit."""

NAMES: Final = ("bisected exit times", "slid knots of a spline")

_EXITS = "Slide ends of intervals; read counts, refusals and where intervals merge."
_KNOTS = "Give a spline knots so close that single patients lie between them."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    exits, knots = NAMES
    return (
        Attack(exits, FEDNB, _EXITS, lambda rng: _exits(world, rng)),
        Attack(exits, peers.FREE_EDGES, _EXITS, _exits_peer),
        Attack(knots, FEDNB, _KNOTS, lambda rng: _knots(world, rng)),
        Attack(knots, peers.FREE_EDGES, _KNOTS, _knots_peer),
    )


def _plan(**changes: object) -> CoxPlan:
    fields = {
        "duration": "os_months",
        "event": "death",
        "covariates": ("age",),
        "split": SplitSpec(train=1.0, validation=0.0, test=0.0),
        "fit_on": "train",
        "evaluate_on": "none",
        **changes,
    }
    return CoxPlan(**fields)  # type: ignore[arg-type]


def _changed(contract: Contract, plan: AnyPlan) -> Contract:
    """Return a contract for another plan: nobody but the sites looks at its times."""
    outputs = outputs_of(
        (plan,),
        parameters=contract.parameters,
        privacy=contract.privacy,
        sites=len(contract.participants),
        calls=contract.resources.calls,
        vectors_of=lambda _spec, n: {"update": n},
    )
    nonce = secrets.token_hex(16)
    return msgspec.structs.replace(
        contract, steps=(plan,), outputs=outputs, nonce=nonce
    )


def _split(counted: Counted, answers: int) -> list[tuple[float, float]]:
    """Halve, over and over, the widest stretch in which somebody leaves.

    Parameters
    ----------
    counted
        How many leave until a time, or None where it is not told.
    answers
        How often it may be asked.
    """
    known: dict[float, float] = {}

    def ask(time: float) -> None:
        told = counted(time)
        if told is not None:
            known[time] = told

    for time in np.linspace(0, LONGEST, 11)[1:].tolist():
        ask(time)
    for _ in range(answers):
        edges = sorted(known.items())
        # of the busy stretches the narrowest first: one patient, then the next
        busy = [
            (high - low, low, high)
            for (low, before), (high, after) in itertools.pairwise(edges)
            if after > before and high - low > WIDTH
        ]
        if not busy:
            break
        _, low, high = min(busy)
        ask((low + high) / 2)
        if (low + high) / 2 not in known:
            break
    return sorted(known.items())


def _exits(world: World, rng: np.random.Generator) -> Outcome:
    """Claim exit times by three ways; a way that sites do not go tells nothing."""
    honest = world.coordinator.contract(_plan(), THREE)
    truth = world.numbers("os_months")
    tried = [0, 0]
    claims = [
        *_by_totals(world, honest, tried),
        *_by_refusals(world, honest, tried),
        *_by_merging(world, honest, tried),
    ]
    hits = beyond(
        np.asarray(claims).reshape(-1, 1),
        truth,
        people(rng, len(truth)).time.reshape(-1, 1),
    )
    note = f"{tried[1]} of {tried[0]} contracts were taken; {len(claims)} claims"
    return Outcome(hits, len(truth), note=note)


def _by_totals(world: World, honest: Contract, tried: list[int]) -> list[float]:
    """Read deaths until the one end of a grid, over three sites."""

    def counted(end: float) -> float | None:
        contract = _changed(honest, _plan(grid=(end,)))
        tried[0] += 1
        if not world.coordinator.obtain(contract):
            return None
        tried[1] += 1
        totals = world.coordinator.fit(contract, 1)
        return float(totals[0][-1]) if totals else None

    found = _split(counted, ANSWERS)
    return list(isolated(found, 2 * WIDTH)[:, 0])


def _by_refusals(world: World, honest: Contract, tried: list[int]) -> list[float]:
    """Read where one site stops refusing: there its tenth patient leaves."""

    def answered(*cuts: float) -> bool | None:
        contract = _changed(honest, _plan(time_varying={"age": cuts}))
        tried[0] += 1
        if isinstance(world.coordinator.propose("a", contract), Refusal):
            # whatever the patients are: this tells nothing of them
            return None
        tried[1] += 1
        run = secrets.token_hex(8)
        call = Call(f"{run}.a", Place(contract.hash(), 0, run, 0, 0))
        return isinstance(world.coordinator.send("a", call), Release)

    claims: list[float] = []
    for _ in range(EXITS):
        before = tuple(claims[-1:])
        # from above, until too few would be left behind
        low, high = next(
            (
                (a, b)
                for a, b in itertools.pairwise(np.linspace(0, LONGEST, 31).tolist())
                if a >= sum(before) and answered(*before, b)
            ),
            (0.0, 0.0),
        )
        if not high:
            break
        while high - low > WIDTH / 2:
            middle = (low + high) / 2
            told = answered(*before, middle)
            if told is None:
                return claims
            low, high = (low, middle) if told else (middle, high)
        claims.append(high)
    return claims


def _by_merging(world: World, honest: Contract, tried: list[int]) -> list[float]:
    """Read at which of fine intervals sites put exits together.

    There are no images to train on: what sites would sum is worked out here by their
    own rule, where they take the contract.
    """
    claims: list[float] = []
    for start in range(0, int(LONGEST), 15):
        ends = np.linspace(start, start + 15, 61)[1:].tolist()
        target = Survival("os_months", "death", intervals=tuple(ends))
        plan = TrainingPlan("small-cnn-3d", target, modalities=(), device="cpu")
        contract = _changed(msgspec.structs.replace(honest, parameters={"0": 8}), plan)
        tried[0] += 1
        if not world.coordinator.obtain(contract):
            continue
        tried[1] += 1
        claims += _merged(world, ends)
    return claims


def _merged(world: World, ends: list[float]) -> list[float]:
    found: set[float] = set()
    for site in THREE:
        times = world.tables[site]["os_months"].to_numpy(dtype=float)
        codes = merge_codes(interval_codes(times, ends), peers.LEAST[peers.FREE_EDGES])
        # the first interval holds all before, and the last all after
        found |= {ends[code] for code in set(codes.tolist()) - {0, len(ends) - 1}}
    return sorted(found)


def _exits_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, SIZES["a"])

    def counted(end: float) -> float | None:
        cells = peers.cells_between(found.time, (end,))
        return None if cells is None else float(cells[0])

    steps = [(t, counted(t)) for t in np.arange(WIDTH, LONGEST, WIDTH).tolist()]
    claims = isolated([(t, n) for t, n in steps if n is not None], WIDTH)
    decoys = people(rng, found.n).time.reshape(-1, 1)
    hits = beyond(claims, found.time.reshape(-1, 1), decoys)
    return Outcome(hits, found.n, note=f"{len(claims)} exits between two ends")


def _windows(low: float, width: float) -> tuple[float, ...]:
    return tuple(round(low + i * width, 3) for i in range(KNOTS))


def _bumps(means: Floats, middles: Floats, least: float) -> Floats:
    """Return where means of narrow splines stand out from their neighbours."""
    padded = np.concatenate([[0.0], means, [0.0]])
    top = (means >= padded[:-2]) & (means > padded[2:]) & (means > least)
    return middles[top].reshape(-1, 1)


def _knots(world: World, rng: np.random.Generator) -> Outcome:
    """Read, off the means of a first round, between which knots somebody lies."""
    honest = world.coordinator.contract(_plan(), THREE)
    truth = world.numbers("age")
    width = 2 * CLOSE * float(truth.std())
    claims, answered, tried = [np.zeros((0, 1))], 0, 0
    for low in np.arange(25, 85, KNOTS * width).tolist():
        knots = tuple(k for k in _windows(low, width) if k < 90)
        text = ", ".join(f"{k:g}" for k in knots)
        plan = _plan(covariates=(), formula=f"bs(age, {text})")
        contract = _changed(honest, plan)
        tried += 1
        totals = []
        if world.coordinator.obtain(contract):
            totals = world.coordinator.fit(contract, 1)
        if not totals:
            continue
        answered += 1
        columns = len(knots) + 3
        n = totals[0][0]
        # columns lie in [0, 1], and are sent as twice their distance from the middle
        means = (totals[0][2 : 2 + columns] / n + 1) / 2
        # column j is highest on the knot j - 1
        inner = means[1:-2]
        claims.append(_bumps(inner, np.asarray(knots), 0.002))
    made = np.concatenate(claims)
    hits = beyond(made, truth, people(rng, len(truth)).x[:, :1])
    note = f"{answered} of {tried} fits were answered; {len(made)} claims"
    return Outcome(hits, len(truth), note=note)


def _knots_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, SIZES["a"])
    age = found.x[:, :1]
    width = CLOSE * float(age.std())
    knots = np.arange(20, 90, width)
    means = [
        peers.mean(np.maximum(1 - np.abs(age[:, 0] - k) / width, 0), peers.PLAIN)
        for k in knots.tolist()
    ]
    claims = _bumps(np.asarray(means, dtype=np.float64), knots, 0.0)
    hits = beyond(claims, age, people(rng, found.n).x[:, :1])
    return Outcome(hits, found.n, note=f"{len(claims)} means stand out")

"""Attacks on survival times: ends of intervals that a requester slides."""

from __future__ import annotations

import itertools
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.privacy.profiles import PROFILES
from fednb.records.messages import Call, Refusal, Release
from fednb.records.outcomes import Survival
from fednb.records.outputs import Place
from fednb.records.tasks import TrainingPlan
from fednb.redteam import peers
from fednb.redteam.outcome import FEDNB, Attack, Outcome, beyond
from fednb.redteam.people import COLUMNS, people
from fednb.redteam.reading import changed, fit_plan, isolated
from fednb.redteam.world import SIZES, THREE
from fednb.survival.deepcox import interval_codes, merge_times
from fednb.survival.grid import GridTotals
from fednb.survival.protocol import design_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.heads import CoxPlan
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

ROW: Final = ("idh", "mgmt", "male")
"""What is claimed of whoever dies between two ends."""

NAMES: Final = ("bisected exit times", "neighbouring grids")

_GRIDS = "Fit on two grids that differ by one end, and subtract the sums of the dead."
_EXITS = "Slide ends of intervals; read counts, refusals and where intervals merge."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    exits, grids = NAMES
    return (
        Attack(grids, FEDNB, _GRIDS, lambda rng: _grids(world, rng)),
        Attack(grids, peers.FREE_EDGES, _GRIDS, _grids_peer),
        Attack(exits, FEDNB, _EXITS, lambda rng: _exits(world, rng)),
        Attack(exits, peers.FREE_EDGES, _EXITS, _exits_peer),
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
    honest = world.coordinator.contract(fit_plan(), THREE)
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
        contract = changed(honest, fit_plan(grid=(end,)))
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
        contract = changed(honest, fit_plan(time_varying={"age": cuts}))
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
        contract = changed(msgspec.structs.replace(honest, parameters={"0": 8}), plan)
        tried[0] += 1
        if not world.coordinator.obtain(contract):
            continue
        tried[1] += 1
        claims += _merged(world, ends)
    return claims


def _merged(world: World, ends: list[float]) -> list[float]:
    found: set[float] = set()
    own = next(c for c in COLUMNS if c.name == "os_months").grid()[1:]
    for site in THREE:
        times = world.tables[site]["os_months"].to_numpy(dtype=float)
        merged = merge_times(times, own, PROFILES["standard"].threshold)
        codes = interval_codes(merged, ends)
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


def _grids(world: World, rng: np.random.Generator) -> Outcome:
    """Move the last end of a pooled fit's grid along the owners' own ends."""
    honest = world.coordinator.contract(fit_plan(covariates=ROW), THREE)
    rows = world.numbers("os_months", "death", *ROW)
    hits, strangers, claims, answered = 0, 0, 0, 0
    before: tuple[float, Floats, Floats] | None = None
    for end in np.arange(40, LONGEST + 1, 10).tolist():
        plan = fit_plan(covariates=ROW, grid=(20.0, end), strata=())
        found = _dead(world, changed(honest, plan), plan)
        if found is None:
            continue
        answered += 1
        if before is not None and round(found[0].sum() - before[1].sum()) == 1:
            claims += 1
            guess = np.rint(found[1] - before[2])
            died = (rows[:, 0] > before[0]) & (rows[:, 0] <= end) & (rows[:, 1] == 1)
            hits += bool((rows[died, 2:] == guess).all())
            strangers += bool((rows[rng.integers(len(rows)), 2:] == guess).all())
        before = (end, *found)
    note = f"{answered} grids were answered; {claims} claims, {strangers} by chance"
    return Outcome(max(hits - strangers, 0), max(len(rows), 1), note=note)


def _dead(
    world: World, contract: Contract, plan: CoxPlan
) -> tuple[Floats, Floats] | None:
    """Return deaths by interval over all sites, and the sum of their columns."""
    if not world.coordinator.obtain(contract):
        return None
    totals = world.coordinator.fit(contract, 2)
    if len(totals) < 2:
        return None
    design = design_of(plan, contract.columns, privacy=contract.privacy, parts=3)
    state = design.replay(totals[:1])
    if state.deaths is None or state.scale is None:
        return None
    sums = GridTotals.from_vector(totals[1], len(plan.grid), len(ROW))
    deaths = state.deaths.astype(np.float64)
    whole = deaths.sum() * state.scale.mean + state.scale.std * sums.d1.sum(axis=0)
    return deaths, np.asarray(whole)


def _grids_peer(rng: np.random.Generator) -> Outcome:
    """Subtract sums over ten dead or more, on grids of any ends."""
    hits = 0
    found = people(rng, SIZES["a"])
    order = np.sort(found.time[found.event == 1])
    for low, high in itertools.pairwise(order.tolist()):
        sums = [
            peers.subgroup((found.time <= end) & (found.event == 1), column)
            for end in (low, high)
            for column in found.binary.T
        ]
        if all(cell is not None for cell in sums):
            told = np.array([cell[1] for cell in sums if cell is not None])
            guess = told[3:] - told[:3]
            hits += bool((found.binary[found.time == high] == guess).all())
    return Outcome(hits, found.n, note="three attributes of each")

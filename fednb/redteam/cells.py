"""Attacks on tables: dominance, sliding bins, bisected quantiles, labels."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fednb.errors import IntegrityError
from fednb.privacy.pool import total
from fednb.records.base import canonical
from fednb.records.messages import Call, Release
from fednb.records.outputs import Place
from fednb.records.tasks import StatisticsPlan
from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome, recovered
from fednb.redteam.people import ABSENT, RARE, TOP, people
from fednb.redteam.reading import cells, isolated, means, steps
from fednb.redteam.world import SIZES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.redteam.world import World

    Floats = NDArray[np.float64]

COHORTS: Final = 20
PATIENTS: Final = 60
SHIFTS: Final = 24

_DOMINATED = "Read the largest contributor off a total that it dominates."
_SLIDE = "Slide an edge of a histogram until its counts change by one."
_BISECT = "Narrow a cut down until one patient lies on its other side."
_LABELS = "Read labels that one patient has."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    top, slide, bisect, label = (
        "dominance",
        "sliding bins",
        "quantile bisection",
        "label leakage",
    )
    return (
        Attack(top, FEDNB, _DOMINATED, lambda rng: _dominance(world, rng)),
        Attack(top, peers.DSBASE, _DOMINATED, _dominance_peer),
        Attack(slide, FEDNB, _SLIDE, lambda rng: _slide(world, rng)),
        Attack(slide, peers.NVFLARE, _SLIDE, _slide_peer),
        Attack(bisect, FEDNB, _BISECT, lambda rng: _bisect(world, rng)),
        Attack(bisect, peers.DSBASE, _BISECT, _bisect_peer),
        Attack(label, FEDNB, _LABELS, lambda rng: _labels(world, rng)),
        Attack(label, peers.DSBASE, _LABELS, _labels_peer),
    )


def _dominance_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    for _ in range(COHORTS):
        values = rng.uniform(0, 1, PATIENTS)
        values[0] = TOP * rng.uniform(0.9, 1.1)
        mean = peers.mean(values, peers.DSBASE)
        guess = 0.0 if mean is None else PATIENTS * mean
        hits += abs(guess - values[0]) <= CLOSE * values.std()
    return Outcome(hits, COHORTS, note="the total is the patient")


def _dominance(world: World, rng: np.random.Generator) -> Outcome:
    del rng
    hits, shown = 0, 0
    plans = (StatisticsPlan(("cost",)), StatisticsPlan(("cost",), "male"))
    for site in SIZES:
        real = world.numbers("cost", sites=(site,))
        for plan in plans:
            contract, vector = _ask(world, plan, site)
            found = means(contract, plan, vector) if not plan.by else {}
            groups = (
                {}
                if vector is None
                else {g: c for (_, g), c in cells(contract, plan, vector).items()}
            )
            shown += sum(cell.n > 0 for cell in groups.values())
            guesses = [SIZES[site] * mean for mean in found.values()]
            guesses += [
                cell.total * (contract.columns[0].upper - contract.columns[0].lower)
                for cell in groups.values()
                if cell.n > 0
            ]
            near = [g for g in guesses if abs(g - real.max()) <= CLOSE * real.std()]
            hits += bool(near)
    note = f"{shown} cells of the column were shown"
    return Outcome(min(hits, len(SIZES)), len(SIZES), note=note)


def _ask(
    world: World, plan: StatisticsPlan, site: str
) -> tuple[Contract, Floats | None]:
    """Return one site's table: under the standard rules it may stand by itself."""
    contract = world.coordinator.contract(plan, (site,))
    world.coordinator.obtain(contract)
    return contract, world.coordinator.ask_all(contract, plan)


def _slide_peer(rng: np.random.Generator) -> Outcome:
    values = people(rng, PATIENTS).x[:, 0]
    width = CLOSE * float(values.std())
    found = []
    for edge in np.arange(20.0, 90.0, width / 2).tolist():
        counts = peers.histogram(values, (20.0, edge + 1e-9, 90.0))
        if counts is not None:
            found.append((edge, float(counts[0])))
    return _pinned(found, values, f"{len(found)} histograms of two bins")


def _bisect_peer(rng: np.random.Generator) -> Outcome:
    values = people(rng, PATIENTS).x[:, 0]
    width = CLOSE * float(values.std())
    found = []
    for cut in np.arange(20.0, 90.0, width / 2).tolist():
        below = peers.count_below(values, cut, peers.DSBASE)
        if below is not None:
            found.append((cut, float(below)))
    return _pinned(found, values, f"{len(found)} cuts were answered")


def _pinned(found: list[tuple[float, float]], values: Floats, note: str) -> Outcome:
    spread = values.std(keepdims=True)
    claims = isolated(found, CLOSE * float(spread[0]))
    hits = recovered(claims, values.reshape(-1, 1), spread)
    return Outcome(hits, values.size, note=note)


def _slide(world: World, rng: np.random.Generator) -> Outcome:
    """Ask with shifted grids of one's own, and with every number of bins."""
    found: list[tuple[float, float]] = []
    plan = StatisticsPlan(("age",))
    honest = world.coordinator.contract(plan, ("a",))
    grids = 0
    for shift in rng.uniform(0, 5, SHIFTS).tolist():
        column = msgspec.structs.replace(
            honest.columns[0], lower=20 + shift, step=rng.uniform(0.01, 5)
        )
        forged = msgspec.structs.replace(
            honest, columns=(column,), nonce=secrets.token_hex(16)
        )
        if world.coordinator.obtain(forged):
            grids += 1
            vector = world.coordinator.ask_all(forged, plan)
            found += [] if vector is None else steps(forged, plan, vector, "age")
    world.coordinator.obtain(honest)
    for bins in range(1, 21):
        query = StatisticsPlan(("age",), bins=bins)
        vector = world.coordinator.ask_all(honest, query)
        found += [] if vector is None else steps(honest, query, vector, "age")
    values = world.numbers("age", sites=("a",))[:, 0]
    note = f"{grids} of {SHIFTS} shifted grids were allowed; {len(set(found))} edges"
    return _pinned(found, values, note)


def _bisect(world: World, rng: np.random.Generator) -> Outcome:
    """Ask for many quantiles, and sign queries that no record would let pass."""
    found: list[tuple[float, float]] = []
    plan = StatisticsPlan(("age",))
    contract = world.coordinator.contract(plan, ("a",))
    world.coordinator.obtain(contract)
    for _ in range(SHIFTS):
        wanted = tuple(sorted(rng.uniform(0.05, 0.95, 9).tolist()))
        query = StatisticsPlan(("age",), quantiles=wanted)
        vector = world.coordinator.ask_all(contract, query)
        found += [] if vector is None else steps(contract, query, vector, "age")
    answered = 0
    for change in ('"quantiles":[0.0,1.0]', '"quantiles":[0.01]', '"quantiles":[]'):
        body = canonical(plan).decode().replace('"quantiles":[0.25,0.5,0.75]', change)
        for bins in ("20", "100000", "0", "-1"):
            forged = body.replace('"bins":20', f'"bins":{bins}')
            vector = _signed(world, contract, forged.encode())
            answered += vector is not None
            found += [] if vector is None else steps(contract, plan, vector, "age")
    values = world.numbers("age", sites=("a",))[:, 0]
    return _pinned(found, values, f"{answered} of 12 forged queries were answered")


def _signed(world: World, contract: Contract, body: bytes) -> Floats | None:
    """Return the answer to a query of any bytes, rightly signed."""
    run = secrets.token_hex(8)
    signed = "\x1f".join(("fednb-query", contract.hash(), run)).encode()
    signature = world.coordinator.scientist.sign(signed + b"\x1f" + body)
    place = Place(contract.hash(), 0, run, 0, 0)
    ask = Call(f"{run}.a", place, query=body, query_signature=signature)
    reply = world.coordinator.send("a", ask)
    if not isinstance(reply, Release):
        return None
    try:
        return total(reply.outputs, contract.sites(), training=False)
    except IntegrityError:
        return None


def _labels_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    common = rng.choice(["glioma", "other"], PATIENTS - len(RARE)).tolist()
    shown = peers.levels([*common, *RARE])
    hits += sum(label in shown for label in RARE)
    return Outcome(hits, len(RARE), note=f"{len(shown)} labels that occur were shown")


def _labels(world: World, rng: np.random.Generator) -> Outcome:
    """Tell labels that one patient has from labels that nobody has."""
    del rng
    plan = StatisticsPlan(("diagnosis",))
    hits = 0
    for site in SIZES:
        contract, vector = _ask(world, plan, site)
        if vector is None:
            continue
        cell = cells(contract, plan, vector)["diagnosis", ""]
        names = contract.columns[0].levels
        shown = {
            name: (float(n), float(s))
            for name, n, s in zip(names, cell.counts, cell.suppressed, strict=True)
        }
        nobody = {shown[label] for label in ABSENT}
        hits += sum(shown[label] not in nobody for label in RARE)
    return Outcome(hits, len(SIZES) * len(RARE), note="as labels that nobody has")

"""Attacks on the columns of a fit: knots that are slid, products of a rare label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome, beyond
from fednb.redteam.people import RARE, people
from fednb.redteam.reading import changed, fit_plan
from fednb.redteam.world import DATASET, SIZES, THREE
from fednb.survival.protocol import design_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.redteam.world import World

    Floats = NDArray[np.float64]

KNOTS: Final = 240
"""Knots a fit."""

ATTRIBUTES: Final = ("idh", "mgmt", "male", "death")
TOLD: Final = 2
"""Attributes that make a patient a recovered one."""

NAMES: Final = ("slid knots of a spline", "products of a rare label")

_KNOTS = "Give a spline knots so close that single patients lie between them."
_PRODUCTS = "Read, off a first round's means, a rare label times other columns."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    knots, products = NAMES
    return (
        Attack(knots, FEDNB, _KNOTS, lambda rng: _knots(world, rng)),
        Attack(knots, peers.FREE_EDGES, _KNOTS, _knots_peer),
        Attack(products, FEDNB, _PRODUCTS, lambda rng: _products(world, rng)),
        Attack(products, peers.PLAIN, _PRODUCTS, _products_peer),
    )


def _windows(low: float, width: float) -> tuple[float, ...]:
    return tuple(round(low + i * width, 3) for i in range(KNOTS))


def _bumps(means: Floats, middles: Floats, least: float) -> Floats:
    """Return where means of narrow splines stand out from their neighbours."""
    padded = np.concatenate([[0.0], means, [0.0]])
    top = (means >= padded[:-2]) & (means > padded[2:]) & (means > least)
    return middles[top].reshape(-1, 1)


def _knots(world: World, rng: np.random.Generator) -> Outcome:
    """Read, off the means of a first round, between which knots somebody lies."""
    honest = world.coordinator.contract(fit_plan(), THREE)
    truth = world.numbers("age")
    width = 2 * CLOSE * float(truth.std())
    claims, answered, tried = [np.zeros((0, 1))], 0, 0
    for low in np.arange(25, 85, KNOTS * width).tolist():
        knots = tuple(k for k in _windows(low, width) if k < 90)
        text = ", ".join(f"{k:g}" for k in knots)
        plan = fit_plan(covariates=(), formula=f"bs(age, {text})")
        contract = changed(honest, plan)
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


def _products(world: World, rng: np.random.Generator) -> Outcome:
    """Ask for every rare label times every attribute; three sites hold one each."""
    del rng
    rows = [f"C(diagnosis):{name}" for name in ATTRIBUTES]
    formula = " + ".join(["C(diagnosis)", *ATTRIBUTES, *rows])
    card = world.coordinator.cards(DATASET, THREE)["a"]
    plan = fit_plan(covariates=(), formula=formula).settled(card.columns)
    honest = world.coordinator.contract(fit_plan(), THREE)
    contract = changed(honest, plan, card.columns)
    totals = []
    if world.coordinator.obtain(contract):
        totals = world.coordinator.fit(contract, 1)
    tried = len(RARE) * len(THREE)
    if not totals:
        return Outcome(0, tried, note="the fit was refused")
    design = design_of(plan, contract.columns, privacy=contract.privacy, parts=3)
    # of 0 and 1, sent as twice their distance from the middle
    sums = (totals[0][0] + totals[0][2 : 2 + len(design.names)]) / 2
    told = dict(zip(design.names, np.rint(sums).tolist(), strict=True))
    hits = sum(_known(world, told, label) for label in RARE)
    seen = sum(told[f"C(diagnosis)[T.{label}]"] == len(THREE) for label in RARE)
    note = f"the number of patients of {seen} of {len(RARE)} labels was told"
    return Outcome(hits, tried, note=note)


def _known(world: World, told: dict[str, float], label: str) -> int:
    """Return patients with a label of whom enough attributes are told, rightly."""
    column = f"C(diagnosis)[T.{label}]"
    if told[column] != len(THREE):
        return 0
    right = 0
    for name in ATTRIBUTES:
        count = told[f"{column}:{name}"]
        # none or all of them: then it is known of each
        tables = (world.tables[site] for site in THREE)
        real = sum(float(t.loc[t["diagnosis"] == label, name].sum()) for t in tables)
        right += count in {0.0, float(len(THREE))} and count == real
    return len(THREE) if right >= TOLD else 0


def _products_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, SIZES["a"])
    hits = 0
    for place in range(len(RARE)):
        has = np.zeros(found.n)
        has[place] = 1.0
        means = [peers.mean(has * column, peers.PLAIN) for column in found.binary.T]
        guess = np.rint(found.n * np.asarray(means, dtype=np.float64))
        hits += bool((guess == found.binary[place]).all())
    return Outcome(hits, len(RARE), note="three attributes of a label's only patient")

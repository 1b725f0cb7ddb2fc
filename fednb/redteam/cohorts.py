"""Attacks that subtract one cohort from another: a patient, a value, or a site less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.records.heads import LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.records.tasks import DescribePlan, QueryPlan, StatisticsPlan
from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome
from fednb.redteam.people import people
from fednb.redteam.reading import means
from fednb.redteam.world import DATASET, SIZES, THREE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.redteam.world import World

    Floats = NDArray[np.float64]

TARGETS: Final = 12
LEFT: Final = 6
COHORTS: Final = 20
PATIENTS: Final = 60
NUMBERS: Final = ("age", "volume", "os_months")

_ONE_LESS = "Ask for the means of n patients, then of n - 1, and subtract."
_ONE_VALUE = "Ask for a column in which one patient has a value."
_ONE_COUNT = "Count who has what among n patients, then among n - 1, and subtract."
_ONE_SITE = "Ask all sites but one for the same, and subtract."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    less, value, counts, site = (
        "differencing n and n - 1",
        "one non-missing value in a column",
        "counts of who has what, of n and n - 1",
        "leave-one-site-out subtraction",
    )
    return (
        Attack(less, FEDNB, _ONE_LESS, lambda rng: _one_less(world, rng)),
        Attack(less, peers.DSBASE, _ONE_LESS, lambda r: _less_peer(r, peers.DSBASE)),
        Attack(
            less, peers.VANTAGE6, _ONE_LESS, lambda r: _less_peer(r, peers.VANTAGE6)
        ),
        Attack(value, FEDNB, _ONE_VALUE, lambda rng: _one_value(world, rng)),
        Attack(value, peers.VANTAGE6, _ONE_VALUE, _one_value_peer),
        Attack(counts, FEDNB, _ONE_COUNT, lambda rng: _described(world, rng)),
        Attack(counts, peers.VANTAGE6, _ONE_COUNT, _described_peer),
        Attack(site, FEDNB, _ONE_SITE, lambda rng: _one_site(world, rng)),
        Attack(site, peers.VANTAGE6, _ONE_SITE, _one_site_peer),
    )


def _less_peer(rng: np.random.Generator, system: str) -> Outcome:
    found = people(rng, PATIENTS)
    hits = 0
    for i in range(found.n):
        kept = np.delete(found.x, i, axis=0)
        guess = []
        for j in range(found.x.shape[1]):
            whole, rest = (
                peers.mean(found.x[:, j], system),
                peers.mean(kept[:, j], system),
            )
            if whole is not None and rest is not None:
                guess.append(found.n * whole - (found.n - 1) * rest)
        hits += _met(np.asarray(guess), found.x[i], found.x.std(axis=0))
    return Outcome(hits, found.n, note="age and volume from two means each")


def _met(guess: Floats, real: Floats, spread: Floats) -> bool:
    """Whether two attributes at least are right."""
    if guess.shape != real.shape:
        return False
    return int((np.abs(guess - real) <= CLOSE * spread).sum()) >= 2


def _one_less(world: World, rng: np.random.Generator) -> Outcome:
    """Let an owner register the cohort without one patient after the other.

    The attacker knows how many patients there are, and who left.
    """
    hits, answered = 0, 0
    plan = StatisticsPlan(NUMBERS)
    whole = world.tables["a"]
    n = len(whole)
    everybody = _single(world, DATASET, plan)
    truth = whole[list(NUMBERS)].to_numpy(dtype=float)
    for turn, i in enumerate(rng.permutation(n)[:TARGETS].tolist()):
        name = f"wave-{turn}"
        world.publish("a", name, whole.drop(index=i))
        rest = _single(world, name, plan)
        answered += bool(rest)
        guess = [
            n * everybody[c] - (n - 1) * rest[c]
            for c in NUMBERS
            if c in everybody and c in rest
        ]
        hits += _met(np.asarray(guess), truth[i], truth.std(axis=0))
    note = f"{answered} of {TARGETS} cohorts of n - 1 were answered"
    return Outcome(hits, TARGETS, note=note)


def _single(world: World, dataset: str, plan: StatisticsPlan) -> dict[str, float]:
    contract = world.coordinator.contract(plan, ("a",), dataset=dataset)
    if not world.coordinator.obtain(contract):
        return {}
    return means(contract, plan, world.coordinator.ask_all(contract, plan))


def _one_value_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    for _ in range(COHORTS):
        values = np.full(PATIENTS, np.nan)
        values[rng.integers(PATIENTS)] = rng.uniform(10, 90)
        guess = peers.mean(values, peers.VANTAGE6)
        hits += guess is not None and abs(guess - np.nanmax(values)) < 1e-9
    return Outcome(hits, COHORTS, note="rows are counted, not values")


def _one_value(world: World, rng: np.random.Generator) -> Outcome:
    """Ask for the column by itself, by groups, pooled, and as a covariate."""
    del rng
    hits = 0
    plans = (StatisticsPlan(("marker",)), StatisticsPlan(("marker", "age")))
    seen: list[float] = []
    for sites in (*((s,) for s in SIZES), THREE):
        for plan in plans:
            contract = world.coordinator.contract(plan, sites)
            world.coordinator.obtain(contract)
            vector = world.coordinator.ask_all(contract, plan)
            shown = means(contract, plan, vector)
            seen += [shown["marker"]] if "marker" in shown else []
    seen += _as_covariate(world)
    for site in SIZES:
        real = float(world.tables[site]["marker"].max())
        hits += any(abs(value - real) <= CLOSE * 20 for value in seen)
    return Outcome(hits, len(SIZES), note=f"{len(seen)} numbers left for the column")


def _as_covariate(world: World) -> list[float]:
    """Return what a head's moments tell of the column."""
    plan = LogisticPlan(
        target="death",
        covariates=("marker",),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        fit_on="train",
        evaluate_on="none",
    )
    contract = world.coordinator.contract(plan, THREE)
    world.coordinator.obtain(contract)
    return [50 + 50 * float(total[2]) for total in world.coordinator.fit(contract, 1)]


def _one_site_peer(rng: np.random.Generator) -> Outcome:
    """Let a site join with its first patient: sums over 4 sites, and over 3."""
    hits = 0
    for _ in range(COHORTS):
        parts = [people(rng, n).x for n in (40, 40, 40, 1)]
        four = sum(part.sum(axis=0) for part in parts)
        three = sum(part.sum(axis=0) for part in parts[:-1])
        spread = np.concatenate(parts).std(axis=0)
        hits += _met(np.asarray(four - three), parts[-1][0], spread)
    return Outcome(hits, COHORTS, note="the fourth site has one patient")


def _one_site(world: World, rng: np.random.Generator) -> Outcome:
    """Ask four sites, and each three of them; the difference is a site's own part.

    Of each column by itself, so that a refusal of one is no refusal of another, and of
    counts after statistics: how many have a value is in both.
    """
    del rng
    whole = tuple(SIZES)
    exposed, hits, answered = 0, 0, 0
    names = (*NUMBERS, "idh", "cost")
    plans: list[QueryPlan] = [StatisticsPlan((name,), "male") for name in names]
    plans += [DescribePlan((name,), ()) for name in names]
    for plan in (*plans, DescribePlan((), ())):
        everybody = _pooled(world, plan, whole)
        for away in whole:
            rest = _pooled(world, plan, tuple(s for s in whole if s != away))
            answered += rest is not None
            if everybody is None or rest is None:
                continue
            part = everybody - rest
            exposed += bool(np.abs(part).max() > 1e-6)
            # a table of safe cells names nobody unless a cell holds one patient
            hits += int(np.isclose(part, 1.0).sum() > 0 and 0 < SIZES[away] < 10)
    note = f"of {answered} sums over three sites {exposed} bared the fourth site's part"
    return Outcome(hits, sum(SIZES.values()), note=note)


def _described(world: World, rng: np.random.Generator) -> Outcome:
    """Let an owner register the cohort without one patient, and count who has what.

    The attacker knows who left, and claims what that patient had: every column of which
    the count fell with the count of all.
    """
    whole = world.tables["b"].copy()
    for name in NUMBERS:
        whole.loc[rng.uniform(size=len(whole)) < 0.4, name] = np.nan
    world.publish("b", "holes", whole)
    everybody = _counts(world, "holes")
    has = whole[list(NUMBERS)].notna().to_numpy()
    hits = fell = 0
    targets = rng.permutation(len(whole))[:LEFT].tolist()
    for turn, i in enumerate(targets):
        name = f"holes-{turn}"
        world.publish("b", name, whole.drop(index=i))
        less = everybody - _counts(world, name)
        fell += bool(less.any())
        hits += bool(less[0] > 0 and ((less[1:] > 0) == has[i]).all())
    note = f"{fell} of {LEFT} descriptions without a patient differed from all's"
    return Outcome(hits, LEFT, note=note)


def _counts(world: World, dataset: str) -> Floats:
    plan = DescribePlan(NUMBERS, ())
    contract = world.coordinator.contract(plan, ("b",), dataset=dataset)
    world.coordinator.obtain(contract)
    vector = world.coordinator.ask_all(contract, plan)
    size = 1 + len(NUMBERS)
    return np.zeros(size) if vector is None else vector[:size]


def _described_peer(rng: np.random.Generator) -> Outcome:
    hits = 0
    has = rng.uniform(size=(PATIENTS, len(NUMBERS))) >= 0.4
    whole = [peers.count(int(n), peers.VANTAGE6) for n in (PATIENTS, *has.sum(axis=0))]
    for i in range(LEFT):
        left = np.delete(has, i, axis=0)
        rest = [peers.count(int(n), peers.VANTAGE6) for n in (len(left), *left.sum(0))]
        less = [a - b for a, b in zip(whole, rest, strict=True)]
        hits += less[0] > 0 and [n > 0 for n in less[1:]] == has[i].tolist()
    return Outcome(hits, LEFT, note="exact counts from the threshold on")


def _pooled(world: World, plan: QueryPlan, sites: tuple[str, ...]) -> Floats | None:
    contract = world.coordinator.contract(plan, sites)
    if not world.coordinator.obtain(contract):
        return None
    return world.coordinator.ask_all(contract, plan)

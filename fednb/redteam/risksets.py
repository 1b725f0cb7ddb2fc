"""Attacks on survival sums: risk sets that differ by one, a baseline with a step."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.records.arrays import pack
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.redteam import peers
from fednb.redteam.outcome import FEDNB, Attack, Outcome, beyond, recovered
from fednb.redteam.people import people
from fednb.redteam.reading import raw_sums
from fednb.redteam.world import THREE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.redteam.world import World

    Floats = NDArray[np.float64]

PATIENTS: Final = 60
COVARIATES: Final = ("age", "volume", "idh", "mgmt", "male")
KEY: Final = "redteam"
EDGE: Final = 1e-7
"""How far below and above a patient's rank the two fractions of a split lie."""

_RISK = "Divide dS1 by dS0 where one patient leaves the risk set, or the fit."
_STEP = "Broadcast a baseline that steps at one time after the other."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    risk, step = "risk-set differencing dS1/dS0", "stepped baseline broadcast"
    return (
        Attack(risk, FEDNB, _RISK, lambda rng: _risk_sets(world, rng)),
        Attack(risk, peers.WEBDISCO, _RISK, _risk_sets_peer),
        Attack(step, FEDNB, _STEP, lambda rng: _baseline(world, rng)),
        Attack(step, peers.WEBDISCO, _STEP, _baseline_peer),
    )


def _risk_sets_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, PATIENTS)
    x = np.column_stack([found.x, found.binary])
    sums = peers.webdisco(x, found.time, found.event, np.zeros(x.shape[1]))
    sums.append((np.inf, 0.0, np.zeros(x.shape[1])))
    claims = [
        (now[2] - after[2]) / (now[1] - after[1])
        for now, after in itertools.pairwise(sums)
        if abs(now[1] - after[1] - 1) < 1e-9
    ]
    hits = recovered(np.asarray(claims), x, x.std(axis=0))
    return Outcome(hits, found.n, note="whole rows from one evaluation at one site")


def _risk_sets(world: World, rng: np.random.Generator) -> Outcome:
    """Fit on fractions of the split that part at one patient of site a.

    Split keys order patients in secret, but a larger fraction holds the smaller one:
    sites of other sizes keep theirs, so the difference is one patient's.
    """
    del rng
    order = world.split_order("a", KEY)
    table = world.tables["a"]
    names = ("death", "idh", "mgmt", "male")
    hits, strangers, answered = 0, 0, 0
    ranks = range(22, len(order) - 1, 2)
    for rank in ranks:
        below = _sums(world, (rank + 0.5) / len(order) - EDGE)
        above = _sums(world, (rank + 0.5) / len(order) + EDGE)
        if below is None or above is None:
            continue
        answered += 1
        change = np.asarray(above["columns"]) - np.asarray(below["columns"])
        positive = float(above["positives"]) - float(below["positives"])
        if abs(float(above["n"]) - float(below["n"]) - 1) >= 0.5:
            continue
        guess = np.rint([positive, *change[2:]])
        real = table[list(names)].to_numpy(dtype=float)
        hits += bool((guess == real[order[rank]]).all())
        strangers += bool((guess == real[order[rank + 1]]).all())
    note = (
        f"{answered} of {len(ranks)} pairs of fits were answered; "
        f"{hits} rows against {strangers} by chance"
    )
    return Outcome(max(hits - strangers, 0), len(ranks), note=note)


def _sums(world: World, share: float) -> dict[str, Floats | float] | None:
    plan = LogisticPlan(
        target="death",
        covariates=COVARIATES,
        split=SplitSpec(train=share, validation=0.0, test=1 - share, key=KEY),
        fit_on="train",
        evaluate_on="none",
    )
    contract = world.coordinator.contract(plan, THREE)
    if not world.coordinator.obtain(contract):
        return None
    return raw_sums(contract, plan, world.coordinator.fit(contract, 2))


def _baseline_peer(rng: np.random.Generator) -> Outcome:
    found = people(rng, PATIENTS)
    risk = np.exp(found.x @ (0.01, 0.01))
    steps = np.linspace(0, 151, 60_000)
    told = np.asarray([peers.expected_events(found.time, risk, s) for s in steps])
    drops = np.flatnonzero(np.abs(np.diff(told)) > 1e-9)
    claims = np.column_stack([steps[drops], told[drops] - told[drops + 1]])
    truth = np.column_stack([found.time, risk])
    hits = recovered(claims, truth, truth.std(axis=0))
    return Outcome(hits, found.n, note="time and risk of each")


def _baseline(world: World, rng: np.random.Generator) -> Outcome:
    """Send a step in every call of a Cox fit; claim a time where the totals change."""
    plan = CoxPlan(
        duration="os_months",
        event="death",
        covariates=("age", "idh"),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        fit_on="train",
        evaluate_on="none",
    )
    claims, answers, before = [], 0, b""
    times = np.linspace(0, 150, 30)
    for step in times.tolist():
        baseline = pack((np.linspace(0, 150, 301) >= step).astype(np.float64))
        arrays = {"baseline": baseline, "weights": baseline}
        contract = world.coordinator.contract(plan, THREE)
        world.coordinator.obtain(contract)
        totals = world.coordinator.fit(contract, 2, arrays=arrays)
        told = b"".join(total.tobytes() for total in totals)
        answers += bool(told)
        if before and told and told != before:
            claims.append(step)
        before = told or before
    truth = world.numbers("os_months")
    hits = beyond(
        np.asarray(claims).reshape(-1, 1),
        truth,
        people(rng, len(truth)).time.reshape(-1, 1),
    )
    note = f"{answers} fits were answered; {len(claims)} told a step from another"
    return Outcome(hits, len(truth), note=note)

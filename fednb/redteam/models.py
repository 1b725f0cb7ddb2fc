"""Attacks on models: a batch out of its gradient, a member out of the final model."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.privacy.pool import total
from fednb.records.heads import LogisticPlan
from fednb.records.specs import SplitSpec
from fednb.redteam import peers
from fednb.redteam.coordinator import plain
from fednb.redteam.outcome import (
    FEDNB,
    Attack,
    Outcome,
    beyond,
    membership,
    recovered,
)
from fednb.redteam.people import people
from fednb.redteam.world import THREE
from fednb.survival.protocol import design_of, replay
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.redteam.world import World
    from fednb.survival.protocol import HeadState

    Floats = NDArray[np.float64]

UNITS: Final = 400
BATCH: Final = 16
BATCHES: Final = 5
MEMBERS: Final = 60
FEATURES: Final = 100
OUTSIDERS: Final = 4000
COVARIATES: Final = ("age", "volume", "idh")

_INVERT = "Divide gradients of weights by those of their bias."
_MEMBER = "Compare the final model's loss on members with that on strangers."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    invert, member = "gradient inversion of a small batch", "membership inference"
    return (
        Attack(invert, FEDNB, _INVERT, lambda rng: _invert(world, rng)),
        Attack(invert, peers.FEDAVG, _INVERT, _invert_peer),
        Attack(member, FEDNB, _MEMBER, lambda rng: _members(world, rng)),
        Attack(member, peers.FEDAVG, _MEMBER, _members_peer),
    )


def _invert_peer(rng: np.random.Generator) -> Outcome:
    """Read rows between units of one direction (Fowl et al., ICLR 2022)."""
    hits = 0
    for _ in range(BATCHES):
        found = people(rng, BATCH)
        x = np.column_stack([found.x / 100, found.binary])
        direction = rng.normal(size=x.shape[1])
        cuts = np.linspace(-6, 6, UNITS)
        hidden = np.column_stack([np.tile(direction, (UNITS, 1)), -cuts])
        update = peers.gradient(x, found.event, hidden, np.full(UNITS, 1e-4))
        between = update[:-1] - update[1:]
        caught = between[np.abs(between[:, -1]) > 1e-12]
        claims = caught[:, :-1] / caught[:, -1:]
        hits += recovered(claims, x, x.std(axis=0))
    note = f"whole rows of batches of {BATCH} from one site's update"
    return Outcome(hits, BATCHES * BATCH, note=note)


def _plan(share: float) -> LogisticPlan:
    return LogisticPlan(
        target="death",
        covariates=COVARIATES,
        split=SplitSpec(train=share, validation=0.0, test=1 - share),
        fit_on="train",
        evaluate_on="none",
    )


def _invert(world: World, rng: np.random.Generator) -> Outcome:
    """Divide in each site's part as it crossed, and in their sum."""
    plan = _plan(0.26)
    contract = world.coordinator.contract(plan, THREE)
    world.coordinator.obtain(contract)
    run = secrets.token_hex(8)
    moments = world.coordinator.round(contract, run, 0)
    score = world.coordinator.round(contract, run, 1, moments)
    truth = world.numbers(*COVARIATES)
    if not score:
        return Outcome(0, len(truth), note="the fit was refused")
    design = design_of(plan, contract.columns, privacy=contract.privacy, parts=3)
    state = replay(design, [total(moments, THREE, training=False)])
    vectors = [plain(part) for part in score]
    vectors.append(total(score, THREE, training=False))
    claims = np.concatenate([_divided(vector, state) for vector in vectors])
    strangers = people(rng, len(truth))
    decoys = np.column_stack([strangers.x, strangers.binary[:, :1]])
    hits = beyond(claims, truth, decoys)
    note = f"{len(claims)} quotients from {len(vectors)} gradients"
    return Outcome(hits, len(truth), note=note)


def _divided(vector: Floats, state: HeadState) -> Floats:
    """Return what a gradient's quotients say of rows, shape (claims, p)."""
    p = len(state.kept) + 1
    sums = LikelihoodSums.from_vector(vector, p)
    rows = np.vstack([sums.score, sums.information])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = rows[:, :-1] / rows[:, -1:]
    if state.scale is None:
        return np.zeros((0, p - 1))
    raw = state.scale.mean + z * state.scale.std
    return np.asarray(raw[np.isfinite(raw).all(axis=1)], dtype=np.float64)


def _members_peer(rng: np.random.Generator) -> Outcome:
    """Train more weights than a site has patients, and send the model on."""
    inside, outside = (rng.normal(size=(n, FEATURES)) for n in (MEMBERS, OUTSIDERS))
    truth = rng.normal(size=FEATURES) / np.sqrt(FEATURES)
    y, other = (x @ truth + rng.normal(size=len(x)) for x in (inside, outside))
    b = peers.least_squares(inside, y)
    note = f"{FEATURES} weights for {MEMBERS} patients"
    return membership(-np.abs(y - inside @ b), -np.abs(other - outside @ b), note)


def _fits(x: Floats, y: NDArray[np.bool_], b: Floats) -> Floats:
    """Return how well each row fits: the negative loss."""
    return -np.logaddexp(0.0, -np.where(y, 1.0, -1.0) * (x @ b))


def _members(world: World, rng: np.random.Generator) -> Outcome:
    """Fit on everybody, with as many coefficients as the rules let pass."""
    plan = _plan(1.0)
    contract = world.coordinator.contract(plan, THREE)
    world.coordinator.obtain(contract)
    history = world.coordinator.fit(contract, plan.max_evaluations + 1)
    design = design_of(plan, contract.columns, privacy=contract.privacy, parts=3)
    state = replay(design, history)
    members = world.numbers(*COVARIATES)
    strangers = people(rng, OUTSIDERS)
    if state.newton is None:
        return Outcome(0, len(members), "members", "the fit was refused")
    b = state.newton.trial
    outcome = world.numbers("death")[:, 0] > 0
    raw = np.column_stack([strangers.x, strangers.binary[:, :1]])
    note = f"{b.size} coefficients for {len(members)} patients"
    return membership(
        _fits(state.standardise(members, design), outcome, b),
        _fits(state.standardise(raw, design), strangers.event > 0, b),
        note,
    )

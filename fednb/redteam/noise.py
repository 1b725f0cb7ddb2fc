"""Attacks on noise: averaging what is drawn afresh, replaying what is not secret."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fednb.records.tasks import StatisticsPlan
from fednb.redteam import peers
from fednb.redteam.outcome import CLOSE, FEDNB, Attack, Outcome, beyond
from fednb.redteam.people import people
from fednb.redteam.reading import cells, mock_tables
from fednb.redteam.world import DATASET, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fednb.redteam.world import World

    Floats = NDArray[np.float64]

QUERIES: Final = 100
COHORTS: Final = 20
PATIENTS: Final = 60
SEEDS: Final = 500
NUMBERS: Final = ("age", "volume", "os_months")

_AVERAGE = "Ask 100 times for the largest value, and average the noise away."
_REPLAY = "Draw the noise, or the keys, again from a seed that is not secret."


def attacks(world: World) -> tuple[Attack, ...]:
    """Return the family's attacks."""
    fresh, seed = "averaging of fresh noise", "replay of a default seed"
    return (
        Attack(fresh, FEDNB, _AVERAGE, lambda rng: _average(world, rng)),
        Attack(fresh, peers.NVFLARE, _AVERAGE, _average_peer),
        Attack(seed, FEDNB, _REPLAY, lambda rng: _replay(world, rng)),
        Attack(seed, peers.VANTAGE6, _REPLAY, _replay_peer),
    )


def _average_peer(rng: np.random.Generator) -> Outcome:
    errors, hits = [], 0
    for _ in range(COHORTS):
        values = people(rng, PATIENTS).x[:, 0]
        drawn = [peers.noisy_maximum(values, rng) for _ in range(QUERIES)]
        low, high = peers.NOISE
        # the smallest and the largest answer bound the maximum from both sides
        guess = (min(drawn) / (1 + low) + max(drawn) / (1 + high)) / 2
        errors.append(abs(guess - values.max()))
        hits += bool(errors[-1] <= CLOSE * values.std())
    note = f"median error {np.median(errors):.2f} years after {QUERIES} queries"
    return Outcome(hits, COHORTS, note=note)


def _average(world: World, rng: np.random.Generator) -> Outcome:
    del rng
    hits, distinct = 0, 0
    plan = StatisticsPlan(NUMBERS)
    for site in SIZES:
        contract = world.coordinator.contract(plan, (site,))
        world.coordinator.obtain(contract)
        asked = [world.coordinator.ask_all(contract, plan) for _ in range(QUERIES)]
        answers = [answer for answer in asked if answer is not None]
        distinct += len({answer.tobytes() for answer in answers})
        for column in contract.columns:
            tops = [
                column.grid()[int(np.flatnonzero(cell.grid)[-1]) + 1]
                for answer in answers
                for cell in [cells(contract, plan, answer)[column.name, ""]]
                if cell.grid.any()
            ]
            truth = world.numbers(column.name, sites=(site,))
            if tops and abs(np.mean(tops) - truth.max()) <= CLOSE * truth.std():
                hits += 1
    note = f"{distinct} different answers to {QUERIES * len(SIZES)} queries"
    return Outcome(hits, len(SIZES) * len(NUMBERS), note=note)


def _replay_peer(rng: np.random.Generator) -> Outcome:
    """Watch a cohort grow: under one seed all old rows keep their noise.

    How wide it is stands in the algorithm's log, which a requester may read.
    """
    found = people(rng, PATIENTS)
    noise = np.random.default_rng(peers.KM_SEED).normal(0, 1, found.n)
    hits, tried, open_claims = 0, 0, []
    for n in range(20, found.n):
        before = peers.km_times(found.time[:n], found.event[:n])
        after = peers.km_times(found.time[: n + 1], found.event[: n + 1])
        if before is None or after is None:
            continue
        tried += 1
        shown = _newcomers(before[0].tolist(), after[0].tolist())
        claims = [
            (time - np.round(after[1] * noise[n]), event) for time, event in shown
        ]
        open_claims.append(len(claims))
        close = CLOSE * found.time.std()
        hits += len(claims) == 1 and bool(
            abs(claims[0][0] - found.time[n]) <= close
            and claims[0][1] == found.event[n]
        )
    note = f"median {np.median(open_claims):g} candidates a patient, one is a claim"
    return Outcome(hits, tried, note=note)


def _newcomers(
    before: list[list[float]], after: list[list[float]]
) -> list[list[float]]:
    """Return rows that are new, less old ones whose rounded noise moved by a step."""
    fresh = [row for row in after if row not in before]
    for gone in [row for row in before if row not in after]:
        moved = [
            row for row in fresh if row[1] == gone[1] and abs(row[0] - gone[0]) < 1.01
        ]
        if moved:
            fresh.remove(moved[0])
    return fresh


def _keys() -> Iterator[bytes]:
    for seed in range(SEEDS):
        for order in ("little", "big"):
            yield seed.to_bytes(32, order)
        yield hashlib.sha256(str(seed).encode()).digest()
        yield np.random.default_rng(seed).bytes(32)


def _replay(world: World, rng: np.random.Generator) -> Outcome:
    """Guess the sites' keys, and look for patients in what mocks were drawn."""
    cards = world.coordinator.cards(DATASET, tuple(SIZES))
    agreement = {card.agreement_key: site for site, card in cards.items()}
    signing = {card.signing_key: site for site, card in cards.items()}
    broken: set[str] = set()
    guesses = 0
    for raw in _keys():
        guesses += 1
        mask_key = X25519PrivateKey.from_private_bytes(raw).public_key()
        sign_key = Ed25519PrivateKey.from_private_bytes(raw).public_key()
        broken |= {agreement.get(mask_key.public_bytes_raw().hex(), "")}
        broken |= {signing.get(sign_key.public_bytes_raw().hex(), "")}
    hits = sum(SIZES[site] for site in broken if site)
    mocks = mock_tables(world.coordinator, tuple(SIZES))
    claims = np.concatenate([m[["age", "volume"]].to_numpy(float) for m in mocks])
    claims = claims[np.isfinite(claims).all(axis=1)]
    truth = world.numbers("age", "volume", sites=tuple(SIZES))
    hits += beyond(claims, truth, people(rng, len(truth)).x)
    note = f"{guesses} keys tried; {len(claims)} mock rows compared"
    return Outcome(min(hits, len(truth)), len(truth), note=note)

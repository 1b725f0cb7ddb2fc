"""Budgets of differential privacy: restarts, races, retries, and what adds up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from filing import SCIENTIST, STRANGER, contract_of

from fednb.errors import HomeError
from fednb.privacy.accountant import Steps, epsilon_of
from fednb.privacy.disclosure import STANDARD
from fednb.records.arrays import pack
from fednb.records.datasets import Manifest
from fednb.records.dp import DP
from fednb.records.outputs import Place
from fednb.records.tasks import DescribePlan, TrainingPlan
from fednb.site.budgets import RULE, Budgets, budgets_of, identity, spend
from fednb.site.home import Home
from fednb.site.work import Known, Work

if TYPE_CHECKING:
    from pathlib import Path

DELTA = 1e-5
NOISE = Steps(1.0, 0.5, 2)
PLAN = TrainingPlan(
    model="small-cnn-3d",
    target="idh",
    rounds=4,
    dp=DP(epsilon=50, noise_multiplier=1.0, sampling_rate=0.5, steps=2, patients=10.0),
)
CONTRACT = contract_of(steps=(PLAN,))
ROOM = 1000.0


def work(round_: int = 0, attempt: int = 0, run: str = "run", **fields: object) -> Work:
    contract = fields.pop("contract", CONTRACT)
    weights = fields.pop("weights", 0.0)
    place = Place(contract.hash(), 0, run, round_, attempt)
    given = {
        "call": f"{run}.{round_}.{attempt}.{contract.hash()[:4]}",
        "place": place,
        "plan": contract.steps[0],
        "round": round_,
        "rounds": 4,
        "site": "ucsf",
        "share": 1.0,
        "sites": 1,
        "manifest": Manifest("glioma", (), (), (), "", ()),
        "table": "",
        "images": "",
        "folder": "",
        "split": {},
        "profile": STANDARD,
        "seconds": 1.0,
        "gpu_gib": 1.0,
        "columns": (),
        "known": Known(),
        "arrays": {"weights": pack(np.full(3, weights, dtype=np.float32))},
    }
    return Work(**{**given, **fields})


def release(home: Home, asked: Work) -> None:
    with home.transaction() as database:
        spend(database, asked.call)


def spent(home: Home) -> float:
    """Return what all requesters have spent on all datasets."""
    return sum(b.epsilon for b in budgets_of(home, DELTA) if not b.requester)


def rounds(count: int) -> float:
    return epsilon_of((Steps(1.0, 0.5, 2 * count),), DELTA)


def test_rounds_add_up_as_one_composition(home: Home):
    budgets = Budgets(home)
    for number in range(4):
        assert budgets.reserve(work(number), CONTRACT, ROOM, DELTA).allow
        release(home, work(number))
    assert spent(home) == pytest.approx(rounds(4))
    assert rounds(4) < 4 * rounds(1)


def test_two_contracts_on_one_dataset_add_up(home: Home):
    budgets = Budgets(home)
    second = contract_of(steps=(PLAN,), nonce="1")
    for contract in (CONTRACT, second):
        asked = work(contract=contract, run=contract.nonce)
        assert budgets.reserve(asked, contract, ROOM, DELTA).allow
        release(home, asked)
    assert spent(home) == pytest.approx(rounds(2))


def test_requesters_and_datasets_have_budgets_of_their_own(home: Home):
    budgets = Budgets(home)
    key = STRANGER.public_key().public_bytes_raw().hex()
    most = rounds(4) + 0.01
    others = (
        contract_of(steps=(PLAN,), requester_key=key),
        contract_of(steps=(PLAN,), dataset="stroke"),
    )
    for contract in (CONTRACT, *others):
        for number in range(4):
            asked = work(number, contract=contract, run=contract.hash()[:8])
            assert budgets.reserve(asked, contract, most, DELTA).allow
    parts = {(b.dataset, b.requester): b.epsilon for b in budgets_of(home, DELTA)}
    mine = identity(CONTRACT.requester_key)
    assert parts["glioma", mine] == pytest.approx(rounds(4))
    assert parts["glioma", key] == pytest.approx(rounds(4))
    assert parts["glioma", ""] == pytest.approx(rounds(8))
    assert parts["stroke", ""] == pytest.approx(rounds(4))


def test_another_spelling_of_a_key_begins_no_new_budget(home: Home):
    budgets = Budgets(home)
    key = SCIENTIST.public_key().public_bytes_raw().hex()
    shouted = contract_of(steps=(PLAN,), requester_key=f"{key[:8]} {key[8:].upper()}")
    assert budgets.reserve(work(), CONTRACT, ROOM, DELTA).allow
    asked = work(contract=shouted, run="other")
    assert not budgets.reserve(asked, shouted, rounds(4) + 0.01, DELTA).allow


def test_what_goes_beyond_is_refused_and_the_owner_reads_why(home: Home):
    budgets = Budgets(home)
    decision = budgets.reserve(work(), CONTRACT, rounds(3), DELTA)
    assert (decision.allow, decision.rule, decision.cause) == (False, RULE, "limit")
    assert decision.reason == (
        f"'Ada' (key {identity(CONTRACT.requester_key)[:12]}) has spent epsilon 0.000 "
        f"of {rounds(3):g} on 'glioma', at delta 1e-05; round 0 of this training needs "
        f"{rounds(4):.3f}. Raise max_epsilon in policy.toml to allow it."
    )
    assert budgets_of(home, DELTA) == ()


def test_a_run_that_began_goes_on_round_by_round(home: Home):
    budgets = Budgets(home)
    most = rounds(4) + 0.001
    for number in range(4):
        assert budgets.reserve(work(number), CONTRACT, most, DELTA).allow
        release(home, work(number))
    more = work(run="again", contract=CONTRACT)
    assert not budgets.reserve(more, CONTRACT, most, DELTA).allow
    # the owner lowers the cap: the next round stops
    assert not budgets.reserve(work(5), CONTRACT, rounds(2), DELTA).allow


def test_a_round_asked_again_is_charged_once(home: Home):
    budgets = Budgets(home)
    for attempt in range(3):
        asked = work(0, attempt)
        assert budgets.reserve(asked, CONTRACT, rounds(4) + 0.001, DELTA).allow
        release(home, asked)
    assert spent(home) == pytest.approx(rounds(1))


def test_a_round_from_other_weights_is_another_charge(home: Home):
    budgets = Budgets(home)
    for attempt, weights in enumerate((0.0, 1e-6)):
        asked = work(0, attempt, weights=weights)
        assert budgets.reserve(asked, CONTRACT, ROOM, DELTA).allow
        release(home, asked)
    assert spent(home) == pytest.approx(rounds(2))


def test_what_was_not_released_costs_nothing(home: Home):
    budgets = Budgets(home)
    budgets.reserve(work(0), CONTRACT, ROOM, DELTA)
    release(home, work(0))
    budgets.reserve(work(1), CONTRACT, ROOM, DELTA)
    assert spent(home) == pytest.approx(rounds(2))
    budgets.let_go(work(0))
    budgets.let_go(work(1))
    assert spent(home) == pytest.approx(rounds(1))


def test_an_attempt_that_fails_takes_nothing_from_one_that_goes_on(home: Home):
    budgets = Budgets(home)
    for attempt in (0, 1):
        budgets.reserve(work(0, attempt), CONTRACT, ROOM, DELTA)
    budgets.let_go(work(0, 0))
    release(home, work(0, 1))
    assert spent(home) == pytest.approx(rounds(1))


def test_a_release_without_a_reservation_is_stopped(home: Home):
    Budgets(home)
    with pytest.raises(HomeError, match="has no reserved privacy budget"):
        release(home, work(0))


def test_budgets_survive_restarts_and_reservations_do_not(tmp_path: Path):
    first = Home(tmp_path / "home", create=True)
    budgets = Budgets(first)
    for number in range(2):
        budgets.reserve(work(number), CONTRACT, ROOM, DELTA)
    release(first, work(0))
    first.close()
    second = Home(tmp_path / "home")
    Budgets(second)
    assert spent(second) == pytest.approx(rounds(1))
    second.close()


def test_calls_at_the_same_time_never_share_what_is_left(home: Home):
    budgets = Budgets(home)
    contracts = [contract_of(steps=(PLAN,), nonce=str(n)) for n in range(8)]
    # room for two runs of four rounds, as each looks ahead in its first round
    most = epsilon_of((Steps(1.0, 0.5, 2 + 8),), DELTA) + 1e-6

    def ask(contract: object) -> bool:
        asked = work(contract=contract, run=contract.nonce)
        allowed = budgets.reserve(asked, contract, most, DELTA).allow
        home.close()
        return allowed

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, contracts))
    assert sum(answers) == 2


def test_what_needs_no_budget_is_let_through(home: Home):
    budgets = Budgets(home)
    plain = msgspec.structs.replace(PLAN, dp=None)
    for plan in (plain, DescribePlan((), ())):
        contract = contract_of(steps=(plan,))
        assert budgets.reserve(work(contract=contract), contract, 0.1, DELTA).allow
        budgets.let_go(work(contract=contract))
    assert budgets_of(home, DELTA) == ()

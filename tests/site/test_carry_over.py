"""The rule `carry_over`: a tightened contract takes an approval over, and no other."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
import pytest
from filing import STRANGER, contract_of, file

from fednb.records.contracts import Resources
from fednb.records.tasks import StatisticsPlan

if TYPE_CHECKING:
    from fednb.records.contracts import Contract
    from fednb.site.approvals import Approvals
    from fednb.site.home import Home
    from fednb.site.ledger import Ledger

TWO = StatisticsPlan(("age", "idh"))
ONE = StatisticsPlan(("age",))
BASE = contract_of(steps=(TWO,), expires=int(time.time()) + 10_000)


def changed(nonce: str, base: Contract = BASE, **changes: object) -> Contract:
    return msgspec.structs.replace(base, nonce=nonce, **changes)


def approve(approvals: Approvals, contract: Contract) -> str:
    digest = file(approvals, contract)
    approvals.decide(digest, "approved", "by hand")
    return digest


def answer(home: Home, contract: str, count: int = 1) -> None:
    """Record calls as answered under a contract."""
    for i in range(count):
        home.database.execute(
            "INSERT INTO calls VALUES (?, '', ?, 0, 'run', ?, 0, x'', '', 0)",
            (f"{contract}{i}", contract, i),
        )


def test_a_tightened_contract_takes_the_approval_over(
    approvals: Approvals, ledger: Ledger
):
    earlier = approve(approvals, BASE)
    later = file(approvals, changed("1", steps=(ONE,)))
    assert approvals.carry_over(later)
    assert approvals.find(later).status == "approved"
    assert approvals.find(earlier).status == "revoked"
    end, approval = (e.body for e in ledger.entries()[-2:])
    assert approval == {
        "contract": later,
        "status": "approved",
        "note": f"Only tightens {earlier}; approved by rule carry_over.",
        "carried_from": earlier,
        "changes": ["tightens: step 0 columns: age, idh -> age"],
    }
    assert (end["contract"], end["carried_to"]) == (earlier, later)
    assert end["note"] == f"Replaced by {later} under rule carry_over."
    assert ledger.verify() == 5


@pytest.mark.parametrize(
    "after",
    [
        changed("1"),
        changed("1", steps=(StatisticsPlan(("age", "idh", "sex")),)),
        changed("1", steps=(ONE,), expires=BASE.expires + 1),
        changed("1", steps=(StatisticsPlan(("idh", "age")),)),
        changed("1", steps=(ONE,), requester="Eve"),
        changed("1", steps=(ONE,), purpose="something else"),
        changed("1", steps=(ONE,), dataset="other"),
        changed(
            "1",
            steps=(ONE,),
            requester_key=STRANGER.public_key().public_bytes_raw().hex(),
        ),
    ],
    ids=range(8),
)
def test_anything_else_waits_for_the_owner(approvals: Approvals, after: Contract):
    earlier = approve(approvals, BASE)
    later = file(approvals, after)
    assert not approvals.carry_over(later)
    assert approvals.find(later).status == "pending"
    assert approvals.find(earlier).status == "approved"


def test_nothing_carries_over_from_nothing(approvals: Approvals):
    first, second = file(approvals, BASE), file(approvals, changed("1", steps=(ONE,)))
    assert not approvals.carry_over(second)
    assert approvals.find(first).status == "pending"


@pytest.mark.parametrize("word", ["denied", "revoked"])
def test_an_owners_no_is_the_last_word(approvals: Approvals, word: str):
    """What was said after the approval counts, even of another contract."""
    approve(approvals, BASE)
    other = file(approvals, changed("1", steps=(ONE,)))
    if word == "revoked":
        approvals.decide(other, "approved")
    approvals.decide(other, word, "no")
    again = file(approvals, changed("2", steps=(ONE,)))
    assert not approvals.carry_over(again)
    assert approvals.find(again).status == "pending"


def test_an_expired_approval_carries_nothing(
    approvals: Approvals, monkeypatch: pytest.MonkeyPatch
):
    approve(approvals, changed("0", expires=int(time.time()) + 60))
    later = file(approvals, changed("1", steps=(ONE,), expires=BASE.expires))
    clock = SimpleNamespace(time=lambda: time.time() + 100)
    monkeypatch.setattr("fednb.site.approvals.time", clock)
    assert not approvals.carry_over(later)


def test_a_used_contract_is_not_replaced(approvals: Approvals, home: Home):
    """Otherwise one approval by hand would let its outputs leave twice."""
    earlier = approve(approvals, BASE)
    answer(home, earlier)
    later = file(approvals, changed("1", steps=(ONE,)))
    assert not approvals.carry_over(later)
    assert approvals.find(earlier).status == "approved"


@pytest.mark.parametrize(("calls", "carried"), [(7, True), (8, False)])
def test_a_standing_contract_carries_over_what_is_left_of_its_calls(
    approvals: Approvals, home: Home, calls: int, carried: bool
):
    base = changed("0", standing=True, resources=Resources(calls=10))
    answer(home, approve(approvals, base), 3)
    fewer = changed("1", base, resources=Resources(calls=calls))
    assert approvals.carry_over(file(approvals, fewer)) is carried


def test_a_chain_only_tightens_further(approvals: Approvals):
    approve(approvals, BASE)
    second = file(approvals, changed("1", expires=BASE.expires - 10))
    assert approvals.carry_over(second)
    # tighter than the first, looser than the second
    third = file(approvals, changed("2", expires=BASE.expires - 5))
    assert not approvals.carry_over(third)
    fourth = file(approvals, changed("3", expires=BASE.expires - 20))
    assert approvals.carry_over(fourth)
    assert approvals.find(second).status == "revoked"


def test_only_what_is_pending_is_carried(approvals: Approvals):
    approve(approvals, BASE)
    later = file(approvals, changed("1", steps=(ONE,)))
    approvals.decide(later, "denied", "no")
    assert not approvals.carry_over(later)
    assert approvals.find(later).status == "denied"

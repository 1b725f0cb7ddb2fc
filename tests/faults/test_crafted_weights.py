"""A coordinator that chooses the weights: every site refuses, and its ledger says so.

A secure sum alone does not help here: weights made to answer to one patient bring that
patient's gradient back inside the sum.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from fednb.phantom.demo import DATASET, DemoSize, demo
from fednb.phantom.study import training_plan
from fednb.privacy.pool import total_update
from fednb.records.arrays import pack, unpack
from fednb.records.base import sha256_hex
from fednb.records.messages import Call, Collect, Refusal, Release, State
from fednb.records.studies import StudyPlan
from fednb.records.tasks import EvaluationPlan
from tests.counterparty import approved, drafted, ledger, place, send, told

SITES = ("aspen", "birch", "dune")


def study(**changes):
    training = msgspec.structs.replace(
        training_plan(rounds=2, strategy=changes.pop("strategy", "fedavg")),
        size=(16, 16, 16),
        **changes,
    )
    return StudyPlan((training, EvaluationPlan(StudyPlan.model_of(0, training))))


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    size = DemoSize(20, 50, 20, voxels=16)
    root = tmp_path_factory.mktemp("crafted")
    with demo(root, size=size, approve="auto") as made:
        yield made


class Coordinator:
    """Drives the rounds of one contract by hand."""

    def __init__(self, fed, run: str, plan=None) -> None:
        self.fed, self.run = fed, run
        self.contract = approved(fed, drafted(fed, plan or study(), DATASET))
        self.weights = fed._client.weights(self.contract.initial["0"])

    def ask(self, site, round_, *, step=0, weights=None, parts=(), attempt=0):
        where = place(self.contract, self.run, step, round_, attempt)
        arrays = {} if weights is None else {"weights": pack(weights)}
        name = f"{self.run}.{step}.{round_}.{attempt}.{site}"
        call = Call(name, where, arrays, tuple(parts), wait=20.0)
        reply = send(self.fed, site, call)[1]
        while isinstance(reply, State):
            reply = send(self.fed, site, Collect(name, 20.0))[1]
        return reply

    def round(self, round_, **given):
        """Return every site's update of a round."""
        replies = [self.ask(site, round_, **given) for site in SITES]
        assert all(isinstance(r, Release) for r in replies), [
            told(self.fed, s, r)
            for s, r in zip(SITES, replies, strict=True)
            if isinstance(r, Refusal)
        ]
        return [o for r in replies for o in r.attested() if o.name == "update"]

    def refusal(self, site, round_, **given) -> str:
        """Return what the ledger says of a call that must be refused."""
        before = [e.kind for e in ledger(self.fed, site)].count("release")
        reply = self.ask(site, round_, **given)
        assert isinstance(reply, Refusal), reply
        assert reply.cause == "signature"
        after = [e.kind for e in ledger(self.fed, site)].count("release")
        assert after == before
        return told(self.fed, site, reply)


@pytest.fixture(scope="module")
def begun(fed):
    """A run after its first round, with all sites' parts."""
    coordinator = Coordinator(fed, "crafted-run")
    return coordinator, coordinator.round(0, weights=coordinator.weights)


def test_weights_of_a_later_round_are_not_taken_from_anybody(begun):
    coordinator, parts = begun
    spike = np.zeros_like(coordinator.weights)
    spike[0] = 1e3
    for site in SITES:
        reason = coordinator.refusal(site, 1, weights=spike, parts=parts)
        assert "a site derives them from what all participants signed" in reason


def test_parts_that_no_site_signed_are_refused(begun):
    coordinator, parts = begun
    forged = np.array(unpack(parts[0].data))
    forged[0] += np.uint32(1)
    first = msgspec.structs.replace(parts[0], data=pack(forged))
    for site in SITES:
        reason = coordinator.refusal(site, 1, parts=(first, *parts[1:]))
        assert "'aspen' is not what that site signed" in reason


def test_a_part_that_is_left_out_or_sent_twice_is_refused(begun):
    coordinator, parts = begun
    assert "parts of" in coordinator.refusal("aspen", 1, parts=parts[:2])
    twice = (parts[0], parts[0], parts[2])
    assert "parts of" in coordinator.refusal("birch", 1, parts=twice)


def test_a_part_of_another_run_is_refused(fed, begun):
    coordinator, parts = begun
    other = Coordinator(fed, "another-run")
    theirs = other.round(0, weights=other.weights)
    reason = coordinator.refusal("dune", 1, parts=(theirs[0], *parts[1:]))
    assert "is not what that site signed" in reason


def test_initial_weights_that_the_seed_does_not_make_are_refused(fed):
    honest = drafted(fed, study(), DATASET)
    crafted = np.full(honest.parameters["0"], 0.5, dtype=np.float32)
    named = {**honest.initial, "0": sha256_hex(pack(crafted).data)}
    coordinator = Coordinator.__new__(Coordinator)
    coordinator.fed, coordinator.run = fed, "chosen-start"
    coordinator.contract = approved(fed, msgspec.structs.replace(honest, initial=named))
    for site in SITES:
        reason = coordinator.refusal(site, 0, weights=crafted)
        assert "not those that seed" in reason


@pytest.mark.parametrize("strategy", ["fedavg", "fedadam"])
def test_a_model_is_evaluated_where_training_ended_and_nowhere_else(fed, strategy):
    coordinator = Coordinator(fed, f"honest-{strategy}", study(strategy=strategy))
    first = coordinator.round(0, weights=coordinator.weights)
    # another attempt of a round starts from what it started from before
    second = coordinator.round(1, parts=first)
    again = coordinator.round(1, parts=first, attempt=1)
    one, two = (total_update(found, SITES) for found in (second, again))
    np.testing.assert_array_equal(one, two)
    crafted = coordinator.weights + 1
    for site in SITES:
        given = {"step": 1, "weights": crafted, "parts": again}
        assert "not those in which step 0 ended" in coordinator.refusal(
            site, 0, **given
        )
    start = coordinator.weights
    if strategy == "fedavg":
        end = start + total_update(first, SITES)
        end = end + total_update(again, SITES)
        reply = coordinator.ask("aspen", 0, step=1, weights=end, parts=again)
        assert isinstance(reply, Release), told(fed, "aspen", reply)

"""Calls for images whose inputs a dishonest coordinator chose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from counterparty import approved, drafted, place, refused, send, told
from small_studies import SITES, serve, small

from fednb.phantom.demo import DATASET
from fednb.privacy.sealing import relay_context, seal
from fednb.records.arrays import pack, unpack
from fednb.records.messages import Call, Refusal
from fednb.records.tasks import EvaluationPlan, ModelRef

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def fed(hospitals):
    with serve(hospitals) as served:
        yield served


def contract_of(fed, plan):
    return approved(fed, drafted(fed, plan, DATASET))


def initial(fed, contract):
    """Return the weights from which the contract starts."""
    weights = fed._client.weights(contract.initial["0"])
    return np.asarray(weights, dtype=np.float32)


def test_training_starts_from_the_weights_that_the_contract_names(fed):
    contract = contract_of(fed, small(2))
    crafted = {"weights": pack(np.zeros_like(initial(fed, contract)))}
    ask = Call("crafted", place(contract, "crafted-run"), crafted, wait=5.0)
    reason = refused(fed, "aspen", ask, "not-in-contract")
    assert reason.endswith(f"the contract names {contract.initial['0'][:12]}.")


def test_two_runs_of_a_contract_cannot_begin_at_the_same_time(fed):
    contract = contract_of(fed, small(2))
    start = {"weights": pack(initial(fed, contract))}
    asks = [
        Call(run, place(contract, run), start) for run in ("first-run", "second-run")
    ]
    with ThreadPoolExecutor() as threads:
        replies = list(threads.map(lambda ask: send(fed, "aspen", ask)[1], asks))
    replies.sort(key=lambda reply: isinstance(reply, Refusal))
    release, refusal = replies
    assert refusal.cause == "replayed"
    reason = told(fed, "aspen", refusal)
    assert reason == f"The contract was used up by run {release.call}."


def test_a_round_is_answered_at_one_set_of_weights(fed):
    """In the clear; under a secure sum no weights are taken at all."""
    clear = {"profile": "open", "secure_sum": False}
    contract = approved(fed, drafted(fed, small(2), DATASET, **clear))
    weights = initial(fed, contract)
    start = {"weights": pack(weights)}
    where = place(contract, "probed-run")
    assert send(fed, "aspen", Call("p0", where, start))[1].outputs
    where = place(contract, "probed-run", 0, 1)
    honest = Call("p1", where, {"weights": pack(weights + 0.01)})
    assert send(fed, "aspen", honest)[1].outputs
    again = place(contract, "probed-run", 0, 1, 1)
    probe = Call("p2", again, {"weights": pack(weights - 0.01)}, wait=5.0)
    reason = refused(fed, "aspen", probe, "replayed")
    assert reason == "Round 1 was answered before for other inputs."
    retry = send(fed, "aspen", Call("p3", again, honest.arrays))[1]
    assert [o.name for o in retry.outputs] == ["metrics", "update"]


def test_an_evaluation_uses_the_weights_that_the_contract_names(fed):
    training = replace(
        small(1), modalities=fed["aspen"].datasets[DATASET].card.modalities
    )
    known = initial(fed, drafted(fed, training, DATASET))
    named = ModelRef("0" * 64, training)
    contract = contract_of(fed, EvaluationPlan(named))
    ask = Call("e0", place(contract, "evaluated"), {"weights": pack(known)}, wait=5.0)
    assert refused(fed, "aspen", ask, "not-in-contract").startswith("Weights ")
    ask = Call("e1", place(contract, "evaluated"), wait=5.0)
    reason = refused(fed, "aspen", ask, "not-in-contract")
    assert reason == "The weights are missing."


@pytest.fixture(scope="module")
def relay(fed):
    """A cyclic contract whose first visit was made, and the box it handed on."""
    contract = contract_of(fed, small(1, strategy="cyclic"))
    start = {"weights": pack(initial(fed, contract))}
    ask = Call("v0", place(contract, "relayed"), start)
    (box,) = send(fed, SITES[0], ask)[1].attested()
    return contract, box


def test_a_relayed_box_says_nothing_to_the_coordinator(fed, relay):
    contract, box = relay
    assert (box.name, box.kind) == ("relay", "sealed")
    raw = bytes(box.data.data)
    weights = initial(fed, contract)
    assert len(raw) < weights.nbytes + 200
    assert np.unique(np.frombuffer(raw, dtype=np.uint8)).size == 256


def test_a_coordinator_cannot_hand_in_weights_of_its_own(fed, relay):
    """Anybody can seal to a public key: only what the site before signed is opened."""
    contract, box = relay
    weights = initial(fed, contract)
    keys = {p.site: p.agreement_key for p in contract.participants}
    forged = seal(weights.tobytes(), keys["birch"], relay_context(box.place))
    data = pack(np.frombuffer(forged, dtype=np.uint8))
    where = place(contract, "relayed", 0, 1)
    cases = [
        Call("f0", where, {"sealed": data}),
        Call("f1", where, {"weights": pack(weights)}),
        Call("f2", where, relayed=(replace(box, data=data),)),
        Call("f3", where, {"weights": pack(weights)}, relayed=(box,)),
        Call("f4", where, relayed=(box, box)),
        Call("f5", where, relayed=(replace(box, site="dune"),)),
        Call("f6", where),
    ]
    for ask in cases:
        reason = refused(fed, "birch", replace(ask, wait=5.0), "signature")
        assert reason.startswith(
            "IntegrityError: Visit 1 needs the one box that 'aspen'"
        )


def test_a_visit_belongs_to_its_site_and_turn(fed, relay):
    contract, box = relay
    where = place(contract, "relayed", 0, 1)
    reason = refused(fed, "dune", Call("t0", where, relayed=(box,)), "signature")
    assert "Visit 1 belongs to birch, not to dune." in reason
    last = place(contract, "relayed", 0, 2)
    assert refused(fed, "dune", Call("t1", last, relayed=(box,)), "signature")
    beyond = place(contract, "relayed", 0, 3)
    ask = Call("t2", beyond, relayed=(box,))
    assert refused(fed, "dune", ask, "not-in-contract") == "No visit 3."


def test_an_honest_relay_ends_with_the_weights(fed, relay):
    contract, box = relay
    for visit, site in ((1, "birch"), (2, "dune")):
        where = place(contract, "relayed", 0, visit)
        ask = Call(f"h{visit}", where, relayed=(box,))
        (box,) = send(fed, site, ask)[1].attested()
    assert (box.name, box.kind) == ("weights", "weights")
    assert unpack(box.data).shape == initial(fed, contract).shape


def test_a_truncated_volume_stops_the_run_and_names_the_site(fed, hospitals):
    volume = next((hospitals / "hospitals" / "dune" / "data").rglob("*.nii.gz"))
    whole = volume.read_bytes()
    request = fed.request(small(1), dataset=DATASET, purpose="to see it break")
    volume.write_bytes(whole[: len(whole) // 2])
    run = request.start().wait(timeout=60)
    volume.write_bytes(whole)
    fault = run.line.fault
    assert (run.status, fault.error) == ("failed", "RefusedError")
    assert fault.arguments[:2] == ("dune", "fingerprint")
    told = fed.owner("dune").ledger.find(fault.arguments[2])
    assert told.reason == "A file differs from its registered hash; register it anew."
    assert all(fed.owner(site).ledger.verify().count for site in SITES)

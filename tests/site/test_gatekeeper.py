"""Calls that are not the next thing a contract allows."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from clinics import federate
from counterparty import (
    approved,
    drafted,
    head_call,
    head_round,
    ledger,
    place,
    query,
    refused,
    released,
    releases,
    send,
)

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.coordinator.contracting import Scientist
from fednb.records.arrays import pack
from fednb.records.contracts import Resources
from fednb.records.heads import CoxPlan
from fednb.records.messages import Call, Collect, FetchMock, Ping, Refusal, StopRun
from fednb.records.specs import EmbeddingRef, SplitSpec
from fednb.records.tasks import DescribePlan
from fednb.wire.codec import decode_reply, encode

COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="none",
)
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def begun(tables):
    """A contract of which two rounds were run, with all that was released."""
    contract = approved(tables, drafted(tables, COX))
    moments = head_round(tables, contract, "run", 0)
    scores = head_round(tables, contract, "run", 1, moments)
    return contract, moments, scores


def test_a_head_goes_on_with_what_all_sites_signed(tables, begun):
    contract, _, scores = begun
    outputs = head_round(tables, contract, "run", 2, scores)
    assert [o.name for o in outputs] == ["score"] * 3
    assert {o.kind for o in outputs} == {"masked"}


def test_a_round_cannot_be_skipped(tables, begun):
    contract, _, scores = begun
    ask = head_call(contract, "a", "run", 9, scores)
    reason = refused(tables, "a", ask, "replayed")
    assert reason.startswith("Round 9 was asked; round ")


def test_a_round_cannot_be_asked_again_once_the_next_was_answered(tables, begun):
    contract, moments, _ = begun
    ask = head_call(contract, "a", "run", 0, attempt=5)
    assert refused(tables, "a", ask, "replayed").startswith("Round 0 was asked; ")
    ask = head_call(contract, "a", "run", 1, moments, attempt=0, wait=0.1)
    later = replace(ask, id="another")
    assert refused(tables, "a", later, "replayed")


def test_totals_of_another_choosing_are_refused(tables):
    contract = approved(tables, drafted(tables, COX))
    moments = head_round(tables, contract, "run-x", 0)
    first = moments[0]
    crafted = replace(first, data=pack(np.zeros(first.data.shape, dtype="<u8")))
    cases = {
        "edited": (crafted, *moments[1:]),
        "missing": moments[1:],
        "twice": (moments[0], moments[0], moments[2]),
        "too many": (*moments, moments[0]),
        "nothing": (),
        "renamed": (replace(first, name="score"), *moments[1:]),
        "of nobody": (replace(first, site="d"), *moments[1:]),
    }
    for name, parts in cases.items():
        ask = replace(head_call(contract, "b", "run-x", 1, parts), id=f"crafted {name}")
        assert refused(tables, "b", ask, "signature"), name
    released(tables, "b", head_call(contract, "b", "run-x", 1, moments))


def test_totals_of_another_run_are_refused(tables, begun):
    _, moments, scores = begun
    contract = approved(tables, drafted(tables, COX))
    mine = head_round(tables, contract, "run-y", 0)
    for parts in (moments, scores, (mine[0], *moments[1:])):
        ask = replace(head_call(contract, "a", "run-y", 1, parts), id=f"{id(parts)}")
        assert "is not what that site signed" in refused(tables, "a", ask, "signature")


def test_a_run_belongs_to_one_contract(tables, begun):
    known, _, _ = begun
    contract = approved(tables, drafted(tables, COX))
    ask = replace(head_call(contract, "a", "run", 0), id="under another contract")
    reason = refused(tables, "a", ask, "replayed")
    assert reason == f"Run run belongs to contract {known.hash()[:12]}."


def test_a_later_attempt_must_relay_the_totals_of_the_earlier_one(tables):
    contract = approved(tables, drafted(tables, COX))
    moments = head_round(tables, contract, "run-z", 0)
    released(tables, "a", head_call(contract, "a", "run-z", 1, moments))
    again = [
        released(tables, s, head_call(contract, s, "run-z", 0, attempt=1))[
            1
        ].attested()[0]
        for s in ("b", "c")
    ]
    # a has answered round 1 and gives no more of round 0: the sets do not mix
    ask = head_call(contract, "a", "run-z", 1, (moments[0], *again), attempt=1)
    assert "different rounds" in refused(tables, "a", ask, "signature")
    released(tables, "a", head_call(contract, "a", "run-z", 1, moments, attempt=2))


def test_an_attempt_is_not_a_free_question(tables):
    """Another attempt of a training round must start from the same weights."""
    contract = approved(tables, drafted(tables, COX))
    released(tables, "a", head_call(contract, "a", "run-q", 0))
    other = {"weights": pack(np.ones(3, dtype="<f4"))}
    ask = head_call(contract, "a", "run-q", 0, attempt=1, arrays=other)
    reason = refused(tables, "a", ask, "replayed")
    assert reason == "Round 0 was answered before for other inputs."


def test_an_attempt_with_an_old_number_is_refused(tables):
    contract = approved(tables, drafted(tables, COX))
    released(tables, "a", head_call(contract, "a", "run-o", 0, attempt=3))
    ask = head_call(contract, "a", "run-o", 0, attempt=2)
    assert refused(tables, "a", ask, "replayed")
    ask = head_call(contract, "a", "run-o", 0, attempt=-1)
    assert refused(tables, "a", ask, "not-in-contract")


def test_the_same_call_gives_the_same_bytes_and_one_ledger_entry(tables):
    contract = approved(tables, drafted(tables))
    ask = query(tables, "a", contract)
    before = releases(tables, "a")
    first, _ = released(tables, "a", ask)
    again, _ = released(tables, "a", replace(ask, wait=0.0))
    collected, _ = released(tables, "a", Collect(ask.id))
    assert first == again == collected
    assert releases(tables, "a") == before + 1


def test_a_call_id_is_good_for_one_content(tables):
    contract = approved(tables, drafted(tables))
    ask = query(tables, "a", contract)
    released(tables, "a", ask)
    other = query(tables, "a", contract, id=ask.id)
    reason = refused(tables, "a", other, "replayed")
    assert reason == f"Call {ask.id} was answered before with other content."


def test_a_collected_call_that_nobody_made_is_unknown(tables):
    reason = refused(tables, "a", Collect("nothing"), "unknown-contract")
    assert reason == "Call nothing is not known here; send it in full."


def test_calls_are_capped(tables):
    contract = approved(tables, drafted(tables, resources=Resources(calls=2)))
    for _ in range(2):
        released(tables, "a", query(tables, "a", contract))
    reason = refused(tables, "a", query(tables, "a", contract), "limit")
    assert reason == "All 2 calls of the contract are used."


def test_a_retry_spends_no_call(tables):
    contract = approved(tables, drafted(tables, resources=Resources(calls=2)))
    ask = query(tables, "a", contract)
    for _ in range(4):
        released(tables, "a", ask)
    released(tables, "a", query(tables, "a", contract))


def test_a_stopped_run_does_not_go_on(tables):
    contract = approved(tables, drafted(tables, COX))
    released(tables, "a", head_call(contract, "a", "stopped-run", 0))
    assert send(tables, "a", StopRun("stopped-run"))[1].status == "stopped"
    ask = head_call(contract, "a", "stopped-run", 0, attempt=1)
    assert refused(tables, "a", ask, "stopped") == "The run was stopped here."


def test_embeddings_of_another_requester_cannot_be_used(tmp_path):
    """A head names the embeddings of a contract that its requester made."""
    with federate(tmp_path / "homes", profile="open") as fed:
        made = approved(fed, drafted(fed, COX))
        mine = fed._scientist
        fed._scientist = Scientist(tmp_path, "somebody else")
        plan = CoxPlan(
            EmbeddingRef(made.hash(), 0, 4, SplitSpec(1.0, 0.0, 0.0)),
            duration="os_months",
            event="death",
            fit_on="train",
            evaluate_on="none",
        )
        contract = approved(fed, drafted(fed, plan))
        ask = head_call(contract, "a", "run-e", 0)
        reason = refused(fed, "a", ask, "not-in-contract")
        assert reason == f"The embeddings of {made.hash()[:12]} are not this study's."
        fed._scientist = mine


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (b"", "malformed"),
        (b"FNB", "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed"),
        (b"\x80\x04\x95 pickled", "malformed"),
        (encode(Ping())[:-1], "malformed"),
        (encode(Ping()) + b"x", "malformed"),
        (b"FNB\x01" + encode(Ping())[4:], "version"),
        (encode(Refusal("a", "internal", "reply instead of ask")), "malformed"),
    ],
)
def test_unreadable_bytes_get_a_refusal_of_one_size(tables, frame, cause):
    answer = tables.transport.call("a", frame, timeout=5)
    assert len(answer) == PROTOCOL_FRAME_BYTES
    reply = decode_reply(answer)
    assert (type(reply), reply.cause) == (Refusal, cause)
    entry = ledger(tables, "a")[-1]
    assert entry.body["correlation"] == reply.correlation
    assert entry.body["cause"] == cause


def test_a_mock_of_an_unknown_dataset_is_refused(tables):
    ask = FetchMock("rows")
    assert refused(tables, "a", ask, "unknown-dataset") == "No dataset 'rows'."


def test_a_query_of_another_kind_is_refused(tables):
    contract = approved(tables, drafted(tables, DescribePlan()))
    reason = refused(tables, "a", query(tables, "a", contract), "not-in-contract")
    assert reason == (
        "The query is a StatisticsPlan; the step answers a DescribePlan, as its "
        "canonical bytes."
    )
    ask = query(tables, "a", contract, COX)
    assert refused(tables, "a", ask, "not-in-contract")


def test_a_standing_contract_runs_no_plan_without_a_query(tables):
    contract = approved(tables, drafted(tables))
    ask = Call("bare", place(contract, "run"))
    assert refused(tables, "a", ask, "signature")


def test_every_refusal_of_this_module_left_an_entry(tables):
    """The last test: the chain holds over all that was tried above."""
    entries = [e for e in ledger(tables, "a") if e.kind == "refusal"]
    assert len(entries) > 20
    assert all(e.reason and e.body["cause"] for e in entries)
    assert all(len(e.body["correlation"]) == 16 for e in entries)

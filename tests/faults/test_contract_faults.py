"""Contracts that must not run: nothing runs, nothing leaves, and each says why."""

from __future__ import annotations

import time

import msgspec
import pytest
from clinics import federate
from counterparty import (
    QUERY,
    approved,
    drafted,
    place,
    propose,
    query,
    refused,
    released,
    send,
)

from fednb.coordinator.contracting import Scientist
from fednb.errors import CAUSE_TEXT, RefusedError, RunError
from fednb.records.base import canonical
from fednb.records.contracts import Privacy, Resources
from fednb.records.heads import CoxPlan
from fednb.records.messages import AskStatus, Call, Propose, State
from fednb.records.specs import SplitSpec
from fednb.records.tasks import StatisticsPlan

COX = CoxPlan(
    covariates=("age",),
    duration="os_months",
    event="death",
    split=SplitSpec(1.0, 0.0, 0.0),
    fit_on="train",
    evaluate_on="none",
)
replace = msgspec.structs.replace


def test_a_contract_that_nobody_proposed_is_unknown(tables):
    contract = drafted(tables)
    reason = refused(tables, "a", query(tables, "a", contract), "unknown-contract")
    assert reason == f"No contract {contract.hash()[:12]} was proposed here."


def test_without_approval_nothing_runs(tables):
    contract = drafted(tables)
    propose(tables, "a", contract)
    reason = refused(tables, "a", query(tables, "a", contract), "not-approved")
    assert reason == "The owner has not decided; see `fednb site requests`."


def test_a_denied_contract_says_so_and_keeps_the_reason_at_the_site(tables):
    contract = drafted(tables)
    propose(tables, "a", contract)
    tables.owner("a").requests[contract.hash()].deny("the purpose is too vague")
    reason = refused(tables, "a", query(tables, "a", contract), "denied")
    assert reason == "Denied: the purpose is too vague"
    frame, _ = send(tables, "a", query(tables, "a", contract))
    assert b"vague" not in frame


def test_an_approved_contract_stops_when_it_expires(tables):
    contract = replace(drafted(tables), expires=int(time.time()) + 2)
    approved(tables, contract)
    released(tables, "a", query(tables, "a", contract))
    seen = {"approved"}
    over = False
    while not over:
        # looked at before asking: the last answer is of a contract that has expired
        over = time.time() > contract.expires + 0.1
        seen.add(send(tables, "a", AskStatus(contract.hash()))[1].status)
    assert seen == {"approved", "expired"}
    reason = refused(tables, "a", query(tables, "a", contract), "expired")
    assert reason == f"Expired at {contract.expires} (Unix time)."


def test_a_contract_that_has_expired_already_is_not_filed(tables):
    contract = replace(drafted(tables), expires=1)
    body = canonical(contract)
    ask = Propose(body, tables._scientist.sign(body))
    assert refused(tables, "a", ask, "expired") == "Expired at 1."
    assert not [r for r in tables.owner("a").requests if r.hash == contract.hash()]


def test_a_revoked_contract_runs_no_more(tables):
    contract = approved(tables, drafted(tables))
    released(tables, "a", query(tables, "a", contract))
    tables.owner("a").requests[contract.hash()].revoke("the study has ended")
    reason = refused(tables, "a", query(tables, "a", contract), "revoked")
    assert reason == "Revoked: the study has ended"
    released(tables, "b", query(tables, "b", contract))


def test_an_edited_contract_is_another_contract(tables):
    contract = approved(tables, drafted(tables))
    body, signature = canonical(contract), tables._scientist.sign(canonical(contract))
    edited = replace(contract, purpose="something else")
    ask = Propose(canonical(edited), signature)
    reason = refused(tables, "a", ask, "signature")
    assert reason == "The signature is not of 'scientist''s key."
    assert refused(tables, "a", query(tables, "a", edited), "unknown-contract")
    # white space changes no meaning, but what is signed is bytes
    spaced = body.replace(b",", b", ", 1)
    ask = Propose(spaced, tables._scientist.sign(spaced))
    assert refused(tables, "a", ask, "edited") == "The bytes are not canonical."


def test_a_contract_of_another_key_under_the_same_name_is_refused(tables, tmp_path):
    other = Scientist(tmp_path, "scientist")
    contract = drafted(tables)
    ask = Propose(canonical(contract), other.sign(canonical(contract)))
    assert refused(tables, "a", ask, "signature")


def test_an_approval_is_worth_nothing_to_another_requester(tables, tmp_path):
    contract = approved(tables, drafted(tables))
    other = Scientist(tmp_path, "scientist")
    ask = query(tables, "a", contract)
    signed = "\x1f".join(("fednb-query", contract.hash(), ask.place.run)).encode()
    forged = other.sign(signed + b"\x1f" + ask.query)
    reason = refused(tables, "a", replace(ask, query_signature=forged), "signature")
    assert reason == "The query is not signed by 'scientist'."


def test_a_forged_contract_with_another_key_needs_another_approval(tables, tmp_path):
    other = Scientist(tmp_path, "scientist")
    known = approved(tables, drafted(tables))
    contract = replace(known, requester_key=other.public_key)
    body = canonical(contract)
    assert send(tables, "a", Propose(body, other.sign(body)))[1].status == "pending"
    assert refused(tables, "a", query(tables, "a", contract), "not-approved")


def test_a_contract_must_name_this_site_under_its_own_keys(tables):
    contract = drafted(tables)
    others = tuple(p for p in contract.participants if p.site != "a")
    without = replace(contract, participants=others, weights=(0.5, 0.5))
    ask = Propose(canonical(without), tables._scientist.sign(canonical(without)))
    reason = refused(tables, "a", ask, "participants")
    assert reason == "a does not take part under its own keys."
    mine, *rest = contract.participants
    stolen = replace(mine, agreement_key=rest[0].agreement_key)
    swapped = replace(contract, participants=(stolen, *rest))
    ask = Propose(canonical(swapped), tables._scientist.sign(canonical(swapped)))
    assert refused(tables, "a", ask, "participants") == reason


def test_a_contract_for_two_sites_is_nothing_to_the_third(tmp_path):
    with federate(tmp_path, "a", "b", "c", profile="open") as fed:
        contract = drafted(fed, sites=("a", "b"), secure_sum=False)
        approved(fed, contract)
        assert refused(fed, "c", query(fed, "c", contract), "unknown-contract")


def test_a_table_that_changed_on_disk_is_not_read(fresh):
    contract = approved(fresh, drafted(fresh))
    released(fresh, "a", query(fresh, "a", contract))
    table = next((fresh.owner("a").path / "work" / "tables").glob("*.csv"))
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    reason = refused(fresh, "a", query(fresh, "a", contract), "fingerprint")
    assert reason == "A file differs from its registered hash; register it anew."


def test_a_dataset_registered_anew_needs_a_new_contract(fresh):
    contract = approved(fresh, drafted(fresh))
    home = fresh._servers["a"]._home
    owner = fresh.owner("a")
    path = next((owner.path / "work" / "tables").glob("*.csv"))
    columns = owner.datasets["clinic"].card.columns
    with home.transaction() as database:
        database.execute("DELETE FROM datasets")
    kept = owner.path.parent / "kept.csv"
    kept.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    owner.create_dataset("clinic", table=kept, columns=columns)
    reason = refused(fresh, "a", query(fresh, "a", contract), "fingerprint")
    assert reason == "The dataset was registered anew since the contract was made."
    # and a contract over the old one is not even filed
    ask = Propose(canonical(contract), fresh._scientist.sign(canonical(contract)))
    assert send(fresh, "a", ask)[1].status == "approved"
    again = replace(contract, nonce="00")
    ask = Propose(canonical(again), fresh._scientist.sign(canonical(again)))
    assert refused(fresh, "a", ask, "fingerprint")


def test_outputs_cannot_be_padded(tables):
    contract = drafted(tables)
    extra = replace(contract.outputs[0], name="rows", kind="table")
    padded = replace(contract, outputs=(*contract.outputs, extra))
    ask = Propose(canonical(padded), tables._scientist.sign(canonical(padded)))
    reason = refused(tables, "a", ask, "not-in-contract")
    assert reason == "The outputs named are not those that the steps need."
    clear = replace(contract.outputs[0], kind="table")
    opened = replace(contract, outputs=(clear,))
    ask = Propose(canonical(opened), tables._scientist.sign(canonical(opened)))
    assert refused(tables, "a", ask, "not-in-contract") == reason


def test_a_contract_may_tighten_and_never_loosen(tables):
    contract = drafted(tables)
    loose = replace(contract, privacy=Privacy("open", True, 0.0))
    ask = Propose(canonical(loose), tables._scientist.sign(canonical(loose)))
    reason = refused(tables, "a", ask, "disclosure")
    assert reason == (
        "The contract asks for the open profile; this site's is standard. "
        "A job may tighten, never loosen."
    )


@pytest.mark.parametrize("step", [0.0, 0.099, -1.0])
def test_a_job_cannot_round_its_fits_more_finely(tables, step):
    contract = drafted(tables, COX)
    loose = replace(contract, privacy=Privacy("standard", True, step))
    ask = Propose(canonical(loose), tables._scientist.sign(canonical(loose)))
    reason = refused(tables, "a", ask, "disclosure")
    assert reason == (
        f"The contract rounds totals of fits to {step:g} patient-SD; the standard "
        "profile rounds them to 0.1. A job may tighten, never loosen."
    )


def test_a_policy_tightened_later_holds_for_contracts_approved_before(fresh):
    small = Resources(calls=500)
    contract = approved(fresh, drafted(fresh, resources=small))
    released(fresh, "a", query(fresh, "a", contract))
    fresh.owner("a").policy.set(max_calls=499)
    reason = refused(fresh, "a", query(fresh, "a", contract), "limit")
    assert reason == (
        "calls = 500 exceeds the site's cap of 499; raise it in policy.toml."
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"weights": (1.0,)}, "participants"),
        ({"weights": (0.98, 0.01, 0.02)}, "participants"),
        ({"weights": (2.0, -0.5, -0.5)}, "participants"),
        ({"dataset": "other"}, "unknown-dataset"),
        ({"version": 2}, "malformed"),
        ({"steps": ()}, "malformed"),
        ({"steps": (QUERY,) * 21}, "malformed"),
        ({"steps": (COX,)}, "not-in-contract"),
        ({"steps": (StatisticsPlan(("rows",)),)}, "not-in-contract"),
    ],
)
def test_a_contract_must_be_what_it_seems(tables, change, cause):
    contract = replace(drafted(tables), **change)
    ask = Propose(canonical(contract), tables._scientist.sign(canonical(contract)))
    assert refused(tables, "a", ask, cause)


def test_bounds_and_grids_are_the_owners_to_set(tables):
    contract = drafted(tables)
    wide = replace(contract.columns[0], upper=1e9)
    changed = replace(contract, columns=(wide, *contract.columns[1:]))
    ask = Propose(canonical(changed), tables._scientist.sign(canonical(changed)))
    reason = refused(tables, "a", ask, "not-in-contract")
    assert reason == "Column 'age' is declared otherwise at this site."


def test_a_query_may_ask_no_more_than_its_contract(tables):
    contract = approved(tables, drafted(tables))
    beyond = StatisticsPlan(("age", "os_months"))
    reason = refused(
        tables, "a", query(tables, "a", contract, beyond), "not-in-contract"
    )
    assert reason == "The contract names no column os_months."


def test_a_query_is_bound_to_its_contract_run_and_words(tables):
    contract = approved(tables, drafted(tables))
    other = approved(tables, drafted(tables))
    asked = query(tables, "a", contract)
    moved = replace(asked, place=place(other, asked.place.run))
    assert refused(tables, "a", moved, "signature")
    moved = replace(asked, id="x", place=place(contract, "another-run"))
    assert refused(tables, "a", moved, "signature")
    reworded = replace(asked, query=canonical(StatisticsPlan(("age",))))
    assert refused(tables, "a", reworded, "signature")
    later = replace(asked, place=place(contract, asked.place.run, 0, 1))
    assert refused(tables, "a", later, "replayed")


def test_a_contract_is_good_for_one_run(tables):
    contract = approved(tables, drafted(tables, COX))
    ask = Call("first", place(contract, "run-1"))
    released(tables, "a", ask)
    reason = refused(tables, "a", Call("second", place(contract, "run-2")), "replayed")
    assert reason == "The contract was used up by run run-1."


def test_a_call_to_a_step_that_does_not_exist_is_refused(tables):
    contract = approved(tables, drafted(tables, COX))
    for step in (-1, 1, 99):
        ask = Call(f"step{step}", place(contract, "run", step))
        assert refused(tables, "a", ask, "not-in-contract") == f"No step {step}."


def test_the_requester_is_told_a_cause_and_an_id(tables):
    contract = approved(tables, drafted(tables))
    tables.owner("b").requests[contract.hash()].revoke("an audit")
    with pytest.raises(RefusedError) as told:
        tables["b"].ask(query(tables, "b", contract))
    assert str(told.value) == (
        f"b refused (revoked): {CAUSE_TEXT['revoked']}. Ask the site owner about "
        f"{told.value.correlation}."
    )
    assert told.value.detail == ""
    assert "audit" in tables.owner("b").ledger.find(told.value.correlation).reason


def test_a_start_before_the_approval_names_who_is_asked_still(tables):
    request = tables.request(COX, dataset="clinic", purpose="survival by age")
    tables.owner("a").requests[request.hash].approve()
    with pytest.raises(RunError) as told:
        request.start()
    assert str(told.value) == (
        "Not approved yet: b (pending), c (pending). Wait with .wait(), or ask the "
        "site owners."
    )
    tables.owner("b").requests[request.hash].deny("not our question")
    with pytest.raises(RunError, match=r"^Not approved: b \(denied\)\. That is final;"):
        request.wait(timeout=5)
    assert isinstance(send(tables, "a", AskStatus(request.hash))[1], State)

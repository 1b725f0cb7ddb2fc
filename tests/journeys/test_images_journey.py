"""The main job on small synthetic hospitals, and a scientist's hold on its runs."""

from __future__ import annotations

import os

import numpy as np
import pytest
from small_studies import (
    SITES,
    TERMS,
    after_round,
    seconds_until_gone,
    serve,
    small,
    start,
    when_working,
)

from fednb.errors import FednbError, RefusedError, RunError, RunStoppedError
from fednb.phantom.demo import DATASET
from fednb.phantom.study import read_study, study_plan


@pytest.fixture(scope="module")
def fed(hospitals):
    with serve(hospitals) as served:
        yield served


@pytest.fixture(scope="module")
def trained(fed):
    """A run of three rounds that nobody disturbed."""
    return start(fed, small(3)).result()


def test_a_study_goes_from_volumes_to_survival(fed):
    request = fed.request(study_plan(small(2)), **TERMS)
    results = request.start().results()
    study = read_study(results)
    assert len(study.training.rounds) == 2
    assert all(r.train_loss > 0 for r in study.training.rounds)
    for value in (study.image_auc, study.both_auc, study.age_auc, study.c_index):
        assert 0 <= value <= 1
    assert list(study.cox.params_.index)[-1] == "age"
    assert np.isfinite(study.cox.summary.to_numpy(float)).all()
    report = fed.evaluate(study.embedding, target="idh", on="all", **TERMS)
    assert 0 <= report["AUC, all pairs"].value <= 1
    report = fed.evaluate(study.cox, embedding=study.embedding, on="all", **TERMS)
    assert 0 <= report["C, all pairs"].value <= 1
    for result in results:
        assert "dune" in str(result)
        assert "<script" not in result._repr_html_()
    kinds = {o.kind for o in request.contract.outputs}
    assert kinds == {"masked", "receipt"}


def test_embeddings_stay_at_the_sites(fed, hospitals):
    files = sorted(hospitals.glob("*/work/embeddings/*"))
    assert {f.parent.parent.parent.name for f in files} == set(SITES)
    assert not list((hospitals / "coordinator").rglob("*embed*"))


@pytest.mark.parametrize("strategy", ["fedprox", "cyclic"])
def test_every_strategy_trains_a_model_of_its_own(fed, trained, strategy):
    result = start(fed, small(3, strategy=strategy)).result()
    assert result.ref.sha256 != trained.ref.sha256
    assert result.parameters == trained.parameters
    assert result.strategy == strategy


def test_the_same_seed_gives_the_same_weights_bit_for_bit(fed, trained):
    again = start(fed, small(3)).result()
    assert again.run != trained.run
    assert again.ref.sha256 == trained.ref.sha256
    other = start(fed, small(3, seed=1)).result()
    assert other.ref.sha256 != trained.ref.sha256


def test_a_paused_run_ends_like_one_that_was_not(fed, trained):
    run = start(fed, small(3))
    after_round(run)
    assert run.pause().status in {"paused", "completed"}
    run.wait(timeout=30)
    assert run.resume().result().ref.sha256 == trained.ref.sha256
    kinds = [event.kind for event in run.events()]
    assert kinds.index("paused") < kinds.index("resumed") < kinds.index("completed")
    assert kinds.count("round") == 3
    assert [e.seq for e in run.events()] == list(range(1, len(kinds) + 1))


def test_a_run_paused_between_steps_is_shown_as_paused(fed):
    run = start(fed, study_plan(small(1)))
    run.pause()
    assert run.wait(timeout=30).status == "paused"
    assert run.resume().wait(timeout=60).status == "completed"


def test_who_changes_their_mind_at_once_loses_no_round(fed, trained):
    run = start(fed, small(3))
    for _ in range(20):
        run.pause()
        run.resume()
    assert run.result().ref.sha256 == trained.ref.sha256
    assert [e.kind for e in run.events()].count("round") == 3


def test_two_runs_at_once_do_not_disturb_each_other(fed, trained):
    first, second = start(fed, small(3)), start(fed, small(3, seed=1))
    results = [second.result(), first.result()]
    assert results[1].ref.sha256 == trained.ref.sha256
    assert results[0].ref.sha256 != trained.ref.sha256


def test_a_stopped_run_is_dead_within_seconds_and_stays_so(fed):
    run = start(fed, small(50, local_epochs=500))
    worker = os.pidfd_open(when_working(fed))
    run.stop()
    assert seconds_until_gone(worker) < 5
    assert run.wait(timeout=10).status == "stopped"
    with pytest.raises(RunStoppedError) as error:
        run.result()
    assert str(error.value) == (
        f"Run {run.id} was stopped; request it anew to start over."
    )
    with pytest.raises(RunError, match=f"^Run {run.id} has stopped; it cannot resume"):
        run.resume()
    for site in SITES:
        entries = fed.owner(site).ledger.entries
        mine = [e for e in entries if e.body.get("run") == run.id]
        assert not [e for e in mine if e.kind == "release"]
    # and the next run finds a worker
    assert start(fed, small(1)).result().rounds


def test_a_contract_revoked_in_mid_run_stops_it_and_says_why(fed):
    request = fed.request(small(50, local_epochs=500), **TERMS)
    run = request.start()
    worker = os.pidfd_open(when_working(fed))
    for site in SITES:
        fed.owner(site).requests[request.hash].revoke("a patient withdrew")
    assert seconds_until_gone(worker) < 5
    with pytest.raises(RefusedError) as error:
        run.result()
    assert error.value.cause == "revoked"
    assert error.value.site in SITES
    assert "withdrew" not in str(error.value)
    told = fed.owner(error.value.site).ledger.find(error.value.correlation)
    assert told.reason == "Revoked: a patient withdrew"
    assert run.status == "failed"


def test_a_denied_request_does_not_start(fed):
    for site in SITES:
        fed.owner(site).policy.set(auto_approve=())
    request = fed.request(small(1), **TERMS)
    fed.owner("birch").requests[request.hash].deny("ask the ethics board first")
    final = r"^Not approved: birch \(denied\)\. That is final;"
    with pytest.raises(RunError, match=final):
        request.wait(timeout=5)
    with pytest.raises(RunError, match=final):
        request.start()
    assert not [r for r in fed.runs if r.contract == request.contract]
    for site in SITES:
        fed.owner(site).policy.set(auto_approve=("all",))


def test_a_plan_is_tried_on_the_mock_before_anybody_is_asked(fed):
    before = len(fed.requests)
    mock = fed["aspen"].datasets[DATASET].mock
    result = small(3).dry_run(mock)
    assert result.dry_run
    assert len(result.rounds) == 1
    assert "dry run" in str(result).lower()
    assert len(fed.requests) == before
    assert mock.view(0).axes
    assert all(p.startswith("mock") or p not in mock.table for p in mock.patients)


def test_a_site_that_is_down_pauses_the_run_until_it_is_back(fed, trained):
    run = start(fed, small(3))
    after_round(run)
    fed.transport.take_down("birch")
    assert run.wait(timeout=30).status in {"paused", "completed"}
    with pytest.raises(RunError, match=r"birch cannot be reached") as error:
        run.result()
    assert error.value.site == "birch"
    fed.transport.bring_up("birch")
    assert run.resume().result().ref.sha256 == trained.ref.sha256


def test_a_paused_run_can_be_stopped_while_its_site_is_down(fed):
    run = start(fed, small(30))
    after_round(run)
    fed.transport.take_down("dune")
    run.wait(timeout=30)
    assert run.stop().wait(timeout=10).status == "stopped"
    fed.transport.bring_up("dune")


def test_ledgers_hold_after_all_that(fed):
    for site in SITES:
        owner = fed.owner(site)
        heads = [e.hash for e in owner.ledger.entries]
        assert owner.ledger.verify(heads).count == len(heads)


def test_an_unknown_run_is_named(fed):
    with pytest.raises(FednbError, match=r"^Unknown run 'nothing'\."):
        fed.run("nothing")

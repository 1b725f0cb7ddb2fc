"""The same cells on both engines: in one process, and on three sites under mTLS."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
from small_studies import SITES, after_round, seconds_until_gone, small

from fednb.errors import RefusedError, RunError, RunStoppedError
from fednb.phantom.demo import DATASET, place_of
from fednb.phantom.study import read_study, study_plan
from fednb.records.heads import CoxPlan
from fednb.records.tasks import EmbeddingPlan

COLUMNS = ["age", "os_months", "idh"]
ENDLESS = small(50, local_epochs=500)


def statistics(world):
    """Return statistics; every owner is asked, once."""
    with pytest.raises(RunError, match="waits for the approval of aspen, birch, dune"):
        world.fed.statistics(DATASET, COLUMNS, by="sex")
    world.approve(world.fed.requests[0])
    found = world.fed.statistics(DATASET, COLUMNS, by="sex")
    standing = world.fed.requests[0].hash
    assert world.fed.statistics(DATASET, ["age"]).of("age")
    assert world.fed.describe(DATASET).sites == SITES
    assert world.fed.requests[0].hash == standing
    return found


def chain(world):
    """Return a model, its embeddings and their Cox head, each under its contract."""
    trained = world.start(small(3)).result()
    embedding = world.start(EmbeddingPlan(trained.model)).result()
    plan = CoxPlan(
        embedding,
        covariates=("age",),
        duration="os_months",
        event="death",
        penalizer=0.05,
    )
    return trained, embedding, world.start(plan).result()


def figures(cox):
    return (
        tuple(cox.params_.items()),
        tuple(cox.standard_errors_.items()),
        cox.log_likelihood_,
        cox.concordance_index_,
    )


def lines(trained):
    return [dataclasses.replace(line, seconds=0.0) for line in trained.rounds]


def test_statistics_are_those_of_pooled_rows(world, hospitals):
    found = world.once("statistics", statistics)
    tables = [pd.read_csv(place_of(hospitals, site).table) for site in SITES]
    pooled = pd.concat(tables)
    for summary in found.of("age"):
        ages = pooled.loc[pooled["sex"] == summary.group, "age"]
        assert summary.n == len(ages)
        assert summary.mean == pytest.approx(ages.mean(), abs=1e-6)


def test_a_description_counts_rows_and_volumes(world, hospitals):
    """Under the contract that statistics were approved under."""
    world.once("statistics", statistics)
    found = world.fed.describe(DATASET)
    rows = pd.concat(pd.read_csv(place_of(hospitals, s).table) for s in SITES)
    assert found.subjects == len(rows)
    assert {c: found.column(c).n for c in COLUMNS} == rows[COLUMNS].count().to_dict()
    assert {found.modality(m).n for m in found.modalities} == {len(rows)}


def test_images_become_weights_embeddings_and_a_cox_head(world):
    trained, embedding, cox = world.once("chain", chain)
    assert [r.round for r in trained.rounds] == [0, 1, 2]
    assert embedding.ref.width == 8
    assert list(cox.params_.index)[-1] == "age"
    assert np.isfinite(cox.summary.to_numpy(float)).all()
    stored = sorted(world.root.glob("*/work/embeddings/*"))
    assert {path.parents[2].name for path in stored} == set(SITES)
    assert not list((world.root / "coordinator").rglob("*embed*"))


def test_a_study_runs_under_one_approval(world):
    study = read_study(world.once("study", run_study))
    assert 0 <= study.image_auc <= 1
    assert 0 <= study.c_index <= 1


def run_study(world):
    return world.start(study_plan(small(1))).results()


def test_both_engines_agree_bit_for_bit(embedded, flare):
    ours, theirs = flare.once("chain", chain), embedded.once("chain", chain)
    assert ours[0].ref.sha256 == theirs[0].ref.sha256
    assert lines(ours[0]) == lines(theirs[0])
    assert figures(ours[2]) == figures(theirs[2])
    frames = [w.once("statistics", statistics).to_frame() for w in (flare, embedded)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    studies = [read_study(w.once("study", run_study)) for w in (flare, embedded)]
    for part in ("logistic", "cox", "age_only"):
        mine, other = (getattr(study, part) for study in studies)
        pd.testing.assert_frame_equal(mine.summary, other.summary, check_exact=True)
    assert studies[0].image_auc == studies[1].image_auc


@pytest.mark.parametrize(
    "changes",
    [{"strategy": "cyclic"}, {"strategy": "scaffold", "optimiser": "sgd"}],
    ids=lambda changes: changes["strategy"],
)
def test_strategies_that_carry_more_than_weights_agree_too(embedded, flare, changes):
    found = [w.start(small(2, **changes)).result() for w in (flare, embedded)]
    assert found[0].ref.sha256 == found[1].ref.sha256
    assert lines(found[0]) == lines(found[1])


def test_a_paused_run_ends_like_one_that_was_not(world):
    run = world.start(small(3))
    after_round(run)
    # rounds are quick: the last may have ended before the pause was heard
    assert run.pause().status in {"paused", "completed"}
    run.wait(timeout=30).resume()
    trained, _, _ = world.once("chain", chain)
    assert run.result().ref.sha256 == trained.ref.sha256
    assert run.resume().status == run.pause().status == "completed"


def test_a_denied_request_does_not_start(world):
    request = world.ask(small(1))
    with pytest.raises(RunError, match=r"Not approved yet: aspen \(pending\), birch"):
        request.start()
    with world.owner("birch") as owner:
        owner.requests[request.hash].deny("ask the ethics board first")
    final = r"^Not approved: birch \(denied\)\. That is final;"
    with pytest.raises(RunError, match=final):
        request.wait(timeout=5)
    world.approve(request, ("aspen", "dune"))
    with pytest.raises(RunError, match=final):
        request.start()
    assert not [r for r in world.fed.runs if r.contract == request.contract]


def test_a_stopped_run_is_dead_within_seconds_and_stays_so(world):
    run = world.start(ENDLESS)
    workers = [os.pidfd_open(worker.pid) for worker in world.working()]
    run.stop()
    assert max(map(seconds_until_gone, workers)) < 5
    assert run.wait(timeout=10).status == "stopped"
    with pytest.raises(RunStoppedError, match="was stopped; request it anew"):
        run.result()
    with pytest.raises(RunError, match="has stopped; it cannot resume"):
        run.resume()
    for site in SITES:
        with world.owner(site) as owner:
            entries = owner.ledger.entries
        mine = [e for e in entries if e.body.get("run") == run.id]
        assert not [e for e in mine if e.kind == "release"]


def test_a_contract_revoked_in_mid_run_stops_it_and_says_why(world):
    request = world.approve(world.ask(ENDLESS))
    run = request.start()
    workers = [os.pidfd_open(worker.pid) for worker in world.working()]
    for site in SITES:
        with world.owner(site) as owner:
            owner.requests[request.hash].revoke("a patient withdrew")
    assert max(map(seconds_until_gone, workers)) < 5
    with pytest.raises(RefusedError) as error:
        run.result()
    assert error.value.cause == "revoked"
    assert "withdrew" not in str(error.value)
    with world.owner(error.value.site) as owner:
        told = owner.ledger.find(error.value.correlation)
    assert told.reason == "Revoked: a patient withdrew"
    assert run.status == "failed"
    # and the next run finds its workers
    assert world.start(small(1)).result().rounds


def test_ledgers_hold_after_all_that(world):
    for site in SITES:
        with world.owner(site) as owner:
            heads = [e.hash for e in owner.ledger.entries]
            assert owner.ledger.verify(heads).count == len(heads)
            contracts = [request.hash for request in owner.requests]
            assert len(contracts) == len(set(contracts))

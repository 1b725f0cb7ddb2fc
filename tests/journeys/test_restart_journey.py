"""Runs outlive the coordinator that drove them."""

from __future__ import annotations

import pytest
from small_studies import SITES, after_round, serve, small, start

from fednb.coordinator.store import Store
from fednb.errors import RunError, RunStoppedError
from fednb.records.service import Event


@pytest.mark.parametrize("strategy", ["fedavg", "cyclic"])
def test_a_run_outlives_its_coordinator(hospitals, strategy):
    plan = small(3, strategy=strategy)
    with serve(hospitals) as fed:
        expected = start(fed, plan).result().ref.sha256
        run = start(fed, plan)
        after_round(run)
    with serve(hospitals) as fed:
        again = fed.run(run.id)
        assert again.status == "paused"
        assert again.resume().result().ref.sha256 == expected
        assert fed.runs[0].id == run.id
        rounds = [e.round for e in again.events() if e.kind == "round"]
        assert rounds == list(range(len(rounds)))
        for site in SITES:
            fed.owner(site).ledger.verify()


def test_a_paused_run_keeps_no_thread_from_others(hospitals, monkeypatch):
    monkeypatch.setattr("fednb.coordinator.runs._MOST_RUNS", 1)
    with serve(hospitals) as fed:
        first = start(fed, small(3))
        after_round(first)
        assert first.pause().wait(timeout=30).status == "paused"
        other = start(fed, small(3)).wait(timeout=60)
        expected = other.result().ref.sha256
        assert first.resume().result().ref.sha256 == expected


def test_a_stop_that_a_crash_cut_short_is_a_stop(hospitals):
    with serve(hospitals, "crashed") as fed:
        run = start(fed, small(3)).pause().wait(timeout=30)
    store = Store(hospitals / "crashed")
    event = Event(0, 0.0, "stopping", 0, 0)
    store.set_status(run.id, "stopping", event=event)
    store.close()
    with serve(hospitals, "crashed") as fed:
        again = fed.run(run.id)
        assert again.status == "stopped"
        with pytest.raises(RunError) as caught:
            again.resume()
        assert str(caught.value) == f"Run {run.id} has stopped; it cannot resume."
        with pytest.raises(RunStoppedError):
            again.result()
        assert again.stop().status == "stopped"

"""Runs outlive the coordinator that drove them."""

from __future__ import annotations

import pytest
from small_studies import SITES, after_round, serve, small, start


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

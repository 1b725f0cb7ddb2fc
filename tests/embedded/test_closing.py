"""Closing an embedded federation at work: nobody waits, and nothing is lost."""

from __future__ import annotations

import time

import pytest
from small_studies import TERMS, serve, small

from fednb.errors import SiteDownError
from fednb.records.messages import Ping

HOURS = 10_000
"""Epochs that nobody waits for."""


def until(fed, busy: bool):
    deadline = time.monotonic() + 60
    while bool(fed.worker_pid) != busy:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def cut_short(hospitals):
    """A federation that was closed while a site trained, and the run's id."""
    fed = serve(hospitals, "closing")
    run = fed.request(small(1, local_epochs=HOURS), **TERMS).start()
    until(fed, busy=True)
    fed.close()
    return fed, run.id


def test_a_training_is_cut_short_and_its_run_waits(hospitals, cut_short):
    _, name = cut_short
    with serve(hospitals, "closing") as again:
        run = next(run for run in again.runs if run.id == name)
        assert run.status == "paused"
        assert run.line.fault is None
        assert run.stop().wait(timeout=60).status == "stopped"


def test_what_was_closed_answers_no_more(cut_short):
    fed, _ = cut_short
    with pytest.raises(SiteDownError):
        fed["aspen"].ask(Ping())

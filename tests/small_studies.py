"""Short runs over small synthetic hospitals, and how to wait for their events."""

from __future__ import annotations

import os
import select
import time

import msgspec

from fednb.embedded.federation import Federation
from fednb.phantom.demo import DATASET, HOSPITALS
from fednb.phantom.study import training_plan

SITES = tuple(HOSPITALS)
TERMS = {"dataset": DATASET, "purpose": "IDH from small volumes", "profile": "open"}
replace = msgspec.structs.replace


def small(rounds: int = 2, **changes: object):
    """Return a training plan of several steps a round over volumes of 16 voxels."""
    strategy = changes.pop("strategy", "fedavg")
    plan = training_plan(rounds=rounds, strategy=strategy)
    return replace(plan, size=(16, 16, 16), batch_size=8, **changes)


def serve(root, coordinator: str = "coordinator") -> Federation:
    homes = {name: root / name for name in SITES}
    return Federation(homes, root / coordinator, scientist="demo scientist")


def start(fed: Federation, plan):
    return fed.request(plan, **TERMS).start()


def after_round(run, rounds: int = 1) -> None:
    """Return when a number of rounds have ended; the events tell."""
    deadline = time.monotonic() + 60
    while sum(e.kind == "round" for e in run.events()) < rounds:
        assert run.status in {"running", "created"}, run
        assert time.monotonic() < deadline
        last = len(run.events())
        run.events(since=last, wait=1.0)


def when_working(fed: Federation) -> int:
    """Return the id of the worker process once it computes for a run."""
    deadline = time.monotonic() + 60
    while not (fed._worker.pid and fed._worker._turn.locked()):
        assert time.monotonic() < deadline
    return fed._worker.pid


def seconds_until_gone(descriptor: int) -> float:
    """Return how long a process lives on, by its own state: no clock is raced."""
    began = time.monotonic()
    ready, _, _ = select.select([descriptor], [], [], 5.0)
    os.close(descriptor)
    assert ready, "the worker lives on"
    return time.monotonic() - began

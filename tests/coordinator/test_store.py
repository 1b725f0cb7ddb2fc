from __future__ import annotations

import numpy as np
import pytest

from fednb.coordinator.store import RoundRecord, Store
from fednb.errors import UnknownNameError
from fednb.records.service import Event, RoundLine


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "coordinator")
    yield store
    store.close()


def finish(store, round_, state):
    line = RoundLine(round_, {"train_loss": 0.5}, 0.1, 100)
    event = Event(0, 1.0, "round", 0, round_)
    store.finish_round(RoundRecord("run", 0, line, (), state=state), event)


def test_weights_are_kept_by_their_hash_bit_for_bit(store):
    weights = np.array([0.1, -0.0, 1e-40, np.pi], dtype=np.float32)
    digest = store.put_weights(weights)
    assert store.put_weights(weights.copy()) == digest
    assert store.weights(digest).tobytes() == weights.tobytes()


@pytest.mark.parametrize("name", ["", "..", "../keys/scientist", "f" * 64])
def test_weights_that_are_not_there_are_named(store, name):
    with pytest.raises(UnknownNameError):
        store.weights(name)


@pytest.mark.parametrize("size", [10, 200_000])
def test_the_newest_checkpoint_is_kept_whole(tmp_path, size):
    store = Store(tmp_path / "coordinator")
    store.create_run("run", "contract", b"body", b"signature")
    states = [np.full(size, n, dtype=np.float32) for n in range(4)]
    for round_, state in enumerate(states):
        finish(store, round_, {"weights": state})
    store.close()
    store = Store(tmp_path / "coordinator")
    round_, found = store.checkpoint("run", 0)
    assert round_ == 3
    assert found["weights"].tobytes() == states[-1].tobytes()
    assert [line.round for line in store.rounds("run", 0)] == [0, 1, 2, 3]
    store.close()


def test_each_start_of_a_run_has_an_attempt_of_its_own(store):
    assert [store.next_attempt("run") for _ in range(3)] == [0, 1, 2]
    assert store.next_attempt("other") == 0


def test_events_are_numbered_from_one_without_gaps(store):
    for kind in ("started", "round", "completed"):
        store.set_status("run", "running", event=Event(0, 1.0, kind, 0, 0))
        store.set_status("other", "running", event=Event(0, 1.0, kind, 0, 0))
    assert [e.seq for e in store.events("run", 0)] == [1, 2, 3]
    assert [e.kind for e in store.events("run", 2)] == ["completed"]


def test_the_home_is_for_its_owner_alone(store):
    store.folder("keys")
    assert store.path.stat().st_mode & 0o077 == 0
    assert (store.path / "coordinator.sqlite").stat().st_mode & 0o077 == 0

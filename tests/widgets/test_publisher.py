from __future__ import annotations

import threading

from fednb.widgets.publisher import LEAST_SECONDS, Publisher

PATIENCE = 30.0


def test_a_step_runs_in_its_own_thread_until_it_ends():
    names = []

    def step():
        names.append(threading.current_thread())
        return 0.0 if len(names) < 3 else None

    publisher = Publisher(step)
    publisher.start()
    assert publisher.join(PATIENCE)
    assert len(names) == 3
    assert len(set(names)) == 1
    assert names[0] is not threading.current_thread()
    assert names[0].daemon


def test_updates_are_at_most_ten_a_second():
    waits = []
    publisher = Publisher(lambda: None if len(waits) == 3 else 0.0)
    publisher._closed = Waits(waits)
    publisher.start()
    assert publisher.join(PATIENCE)
    assert waits == [LEAST_SECONDS] * 4
    assert LEAST_SECONDS >= 0.1


class Waits(threading.Event):
    """Notes for how long it is waited for, instead of waiting."""

    def __init__(self, waits) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout=None) -> bool:
        self._waits.append(timeout)
        return self.is_set()


def test_starting_again_cuts_a_pause_short_and_overlaps_nothing():
    steps = threading.Semaphore(0)
    publisher = Publisher(lambda: steps.release() or 3600.0)
    publisher.start()
    assert steps.acquire(timeout=PATIENCE)
    publisher.start()
    assert steps.acquire(timeout=PATIENCE)
    publisher.close()
    assert publisher.join(PATIENCE)


def test_one_that_ended_starts_again_and_a_closed_one_does_not():
    steps = threading.Semaphore(0)
    publisher = Publisher(lambda: steps.release())
    for _ in range(2):
        publisher.start()
        assert steps.acquire(timeout=PATIENCE)
        assert publisher.join(PATIENCE)
    publisher.close()
    publisher.start()
    assert publisher.join(0)
    assert not steps.acquire(blocking=False)


def test_a_view_that_says_nothing_any_more_is_forgotten():
    publisher = Publisher(lambda: 0.0, lease=0.0)
    publisher.start()
    assert publisher.join(PATIENCE)

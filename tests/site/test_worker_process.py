"""The worker: a process that is fed by a pipe, and dies when it is told to."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from fednb.errors import FednbError, RunStoppedError
from fednb.site.worker_process import WorkerProcess

ECHO = """
import sys
from fednb.wire.frames import read_frame, write_frame
while (job := read_frame(sys.stdin.buffer)) is not None:
    word = bytes(job)
    if word == b"die":
        sys.exit(3)
    if word == b"half":
        sys.stdout.buffer.write(bytes([200, 0, 0, 0, 0, 0, 0, 0]) + b"cut")
        sys.stdout.buffer.flush()
        sys.exit(0)
    if word == b"hang":
        threading = __import__("threading")
        write_frame(sys.stdout.buffer, b"progress")
        threading.Event().wait()
    write_frame(sys.stdout.buffer, b"progress")
    write_frame(sys.stdout.buffer, b"done " + word)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = WorkerProcess("echo_worker")
    yield process
    process.close()


def run(worker, job, *, seconds=30.0, allowed=lambda: True, seen=None):
    def last(frame):
        if seen is not None:
            seen.append(frame)
        return frame.startswith(b"done")

    return worker.run(job, seconds=seconds, allowed=allowed, last=last)


def gone(descriptor: int) -> bool:
    """Return whether a process has ended, waiting at most five seconds for it."""
    ready, _, _ = select.select([descriptor], [], [], 5.0)
    os.close(descriptor)
    return bool(ready)


def test_it_starts_on_first_use_and_stays_warm(worker):
    assert worker.pid == 0
    seen = []
    assert run(worker, b"one", seen=seen) == b"done one"
    assert seen == [b"progress", b"done one"]
    first = worker.pid
    assert run(worker, b"two") == b"done two"
    assert worker.pid == first != 0


def test_a_task_that_may_not_go_on_is_killed(worker):
    run(worker, b"warm")
    process = os.pidfd_open(worker.pid)
    began = time.monotonic()
    with pytest.raises(RunStoppedError, match=r"^The task was stopped\.$") as error:
        run(worker, b"hang", allowed=lambda: time.monotonic() - began < 0.3)
    assert error.value.cause == "stopped"
    assert gone(process)
    assert run(worker, b"next") == b"done next"


def test_a_task_over_its_time_is_killed_and_says_so(worker):
    run(worker, b"warm")
    process = os.pidfd_open(worker.pid)
    with pytest.raises(RunStoppedError) as error:
        run(worker, b"hang", seconds=0.3)
    assert str(error.value) == (
        "The task took longer than the contract's cap on seconds."
    )
    assert error.value.cause == "limit"
    assert gone(process)


def test_a_worker_that_does_not_take_its_task_is_stopped_too(worker, tmp_path):
    # one that still imports torch reads no pipe, and a pipe holds 64 KiB
    (tmp_path / "echo_worker.py").write_text("import threading as t; t.Event().wait()")
    began = time.monotonic()
    with pytest.raises(RunStoppedError, match=r"^The task was stopped\.$"):
        run(worker, bytes(10**6), allowed=lambda: time.monotonic() - began < 0.3)
    assert worker.pid == 0


def test_a_task_that_is_not_allowed_never_begins(worker):
    with pytest.raises(RunStoppedError, match="before it began"):
        run(worker, b"one", allowed=lambda: False)
    assert worker.pid == 0


@pytest.mark.parametrize("job", [b"die", b"half"])
def test_a_worker_that_dies_is_named_and_replaced(worker, job):
    with pytest.raises(FednbError, match=r"^The worker process ended with code"):
        run(worker, job)
    assert run(worker, b"next") == b"done next"


def test_a_module_that_does_not_start_is_an_error_and_no_hang(monkeypatch):
    worker = WorkerProcess("fednb.no_such_module")
    with pytest.raises(FednbError, match=r"^The worker process ended"):
        run(worker, b"one")
    worker.close()


def test_tasks_take_turns(worker):
    results = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: run(worker, b"%d" % n)}))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == {n: b"done %d" % n for n in range(6)}


def test_a_shut_worker_takes_no_more(worker):
    run(worker, b"warm")
    process = os.pidfd_open(worker.pid)
    worker.shut()
    assert gone(process)
    with pytest.raises(RunStoppedError):
        run(worker, b"one")

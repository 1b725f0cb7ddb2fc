from __future__ import annotations

import io
import signal
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from task_fixtures import Hospital

from fednb.records.arrays import pack, unpack
from fednb.records.specs import StrategySpec
from fednb.records.tasks import (
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    TrainingPlan,
)
from fednb.site.tasks.job import InitialiseJob, JobResult
from fednb.site.tasks.worker import TASKS, run, serve
from fednb.wire.frames import write_frame

if TYPE_CHECKING:
    from collections.abc import Callable


def vector(result: JobResult, name: str) -> bytes:
    assert not result.error, result.detail
    return bytes(result.vectors[name].data)


def test_two_workers_agree_bit_for_bit_in_any_order(
    hospital: Hospital, plan: TrainingPlan, start_worker: Callable
):
    dropping = msgspec.structs.replace(
        plan.network, params=plan.network.params | {"dropout": 0.5}
    )
    plan = msgspec.structs.replace(plan, model=dropping, local_epochs=2)
    jobs = [hospital.job(plan, id=s, site=s, round=1) for s in ("a", "b", "c")]
    ref = ModelRef("0" * 64, plan)
    evaluation = hospital.job(EvaluationPlan(ref), id="e")
    one, two = start_worker(), start_worker()
    forth = [one.ask(job) for job in (*jobs, evaluation)]
    back = [two.ask(job) for job in (evaluation, *reversed(jobs), jobs[0])]
    for mine, theirs in zip(forth[:3], reversed(back[1:4]), strict=True):
        assert mine.id == theirs.id
        assert vector(mine, "update") == vector(theirs, "update")
        assert vector(mine, "metrics") == vector(theirs, "metrics")
    assert vector(forth[0], "update") == vector(back[4], "update")
    assert vector(forth[3], "metrics") == vector(back[0], "metrics")
    assert vector(forth[0], "update") != vector(forth[1], "update")


def test_a_failing_job_is_answered_and_the_worker_goes_on(
    hospital: Hospital, plan: TrainingPlan, start_worker: Callable
):
    worker = start_worker()
    wrong = msgspec.structs.replace(plan, strategy=StrategySpec("fedavgg"))
    failed = worker.ask(hospital.job(wrong, id="bad"))
    assert (failed.id, failed.error) == ("bad", "UnknownNameError")
    assert failed.cause == "not-in-contract"
    assert "Did you mean 'fedavg'" in failed.detail
    assert "Traceback" in failed.detail
    garbled = worker.read_result(b"\xc1 not msgpack")
    assert (garbled.error, garbled.cause) == ("WireError", "malformed")
    good = worker.ask(InitialiseJob("good", plan.network, 2, 0, 0))
    assert good.id == "good"
    worker.process.stdin.close()
    assert worker.process.wait(timeout=10) == 0


def test_a_killed_worker_is_dead_within_two_seconds(
    hospital: Hospital, plan: TrainingPlan, start_worker: Callable
):
    worker = start_worker()
    long = msgspec.structs.replace(plan, local_epochs=100_000)
    write_frame(worker.process.stdin, msgspec.msgpack.encode(hospital.job(long)))
    assert worker.process.stdout.read(8), "a heartbeat shows that it trains"
    worker.process.kill()
    assert worker.process.wait(timeout=2) == -signal.SIGKILL


class Sink:
    """Collects frames."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: memoryview) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None:
        """Do nothing."""


class Closed(Sink):
    """A pipe that nobody reads any more."""

    def write(self, data: memoryview) -> int:
        raise BrokenPipeError


def test_every_torch_plan_has_a_task_and_others_do_not(
    hospital: Hospital, plan: TrainingPlan
):
    ref = ModelRef("0" * 64, plan)
    for each, name in (
        (plan, "update"),
        (EvaluationPlan(ref), "metrics"),
        (EmbeddingPlan(ref), "receipt"),
    ):
        result = run(hospital.job(each, embedding="e"), Sink())
        assert name in result.vectors, result.detail
        assert np.isfinite(unpack(result.vectors[name])).all()
    refused = run(hospital.job(DescribePlan((), ())), Sink())
    assert refused.error == "InputError"
    assert "no task for DescribePlan" in refused.detail


def test_a_worker_without_a_reader_ends(plan: TrainingPlan):
    source = io.BytesIO()
    job = InitialiseJob("i", plan.network, 2, 0, 0)
    write_frame(source, msgspec.msgpack.encode(job))
    source.seek(0)
    with pytest.raises(BrokenPipeError):
        serve(source, Closed())


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError("volume of 10 GB"), "limit"),
        (OSError(28, "No space left on device"), "storage"),
        (RuntimeError("convolution"), "internal"),
    ],
)
def test_causes_come_from_the_closed_list(
    hospital: Hospital,
    plan: TrainingPlan,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    cause: str,
):
    def fail(job: object, progress: object) -> JobResult:
        raise error

    monkeypatch.setitem(TASKS, TrainingPlan, fail)
    result = run(hospital.job(plan), Sink())
    assert result.cause == cause
    assert result.error == type(error).__name__


def test_missing_files_are_an_error_of_the_data(hospital: Hospital, plan: TrainingPlan):
    broken = pack(np.zeros(1, dtype=np.float32))
    result = run(hospital.job(plan, arrays={"weights": broken}), Sink())
    assert result.error == "InputError"
    (hospital.folder / "clinical.csv").unlink()
    gone = run(hospital.job(plan), Sink())
    assert gone.error

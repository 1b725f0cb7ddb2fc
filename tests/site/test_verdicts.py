"""What an error at a site amounts to: a cause of the closed list, and private words."""

from __future__ import annotations

import msgspec
import pytest

from fednb import errors
from fednb.records.specs import ModelSpec
from fednb.site.executor import initial_weights
from fednb.site.tasks.job import JobResult
from fednb.site.verdicts import verdict_of
from fednb.site.worker_process import WorkerProcess


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.InputError("x"), "not-in-contract"),
        (errors.UnknownNameError("column", "x", ()), "not-in-contract"),
        (errors.DatasetError(["x"]), "data"),
        (errors.FitError("x"), "data"),
        (errors.HomeError("x"), "storage"),
        (errors.IntegrityError("x"), "signature"),
        (errors.WireError("x"), "malformed"),
        (errors.VersionError("x"), "version"),
        (errors.CodeError("ValueError"), "code"),
        (errors.RunStoppedError("x"), "stopped"),
        (errors.RunStoppedError("x", cause="limit"), "limit"),
        (errors.RunError("x", cause="no-confinement"), "no-confinement"),
        (errors.FednbError("x"), "internal"),
        (KeyError("x"), "internal"),
    ],
)
def test_an_error_names_its_cause(error: Exception, cause: str):
    decision = verdict_of(error)
    assert (decision.allow, decision.cause) == (False, cause)
    assert type(error).__name__ in decision.reason


class Failing(WorkerProcess):
    """A worker in which every task runs out of memory."""

    def run(self, job, *, seconds, allowed, last):
        failed = JobResult("", error="OutOfMemoryError", detail="8 GB", cause="limit")
        frame = msgspec.msgpack.encode(failed)
        last(frame)
        return frame


def test_the_cause_that_a_worker_found_is_told_and_its_words_are_not():
    network = ModelSpec("small-cnn-3d")
    with pytest.raises(errors.FednbError) as caught:
        initial_weights(Failing(), network, channels=1, covariates=0, seed=0)
    decision = verdict_of(caught.value)
    assert decision.cause == "limit"
    assert "8 GB" in decision.reason
    assert "8 GB" not in str(caught.value)

"""What a confined process hands back is held to what its plan allows."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy
from task_fixtures import MODALITIES, NETWORK

from fednb.errors import IntegrityError
from fednb.records.arrays import pack, pack_all, unpack
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, ModelRef, TrainingPlan
from fednb.site.tasks.job import ConfinedResult, JobResult, state_folder
from fednb.site.tasks.returned import Counts, check, check_weights, read_state

PLAN = TrainingPlan(model=NETWORK, target="idh", modalities=MODALITIES, size=(8, 8, 8))
P = 12
TRAINED = {"update": np.ones(P, np.float32), "metrics": np.zeros(7)}


def job_of(hospital, plan):
    return hospital.job(
        plan, arrays={"weights": pack(np.zeros(P, np.float32))}, embedding="e-0"
    )


def said(vectors, files=None, patients=0) -> ConfinedResult:
    result = JobResult("forged", pack_all(vectors), patients=patients)
    return ConfinedResult(result, files or {})


def checked(hospital, vectors, plan=PLAN, files=None, patients=0):
    job = job_of(hospital, plan)
    counts = Counts.of(job, PLAN)
    return check(said(vectors, files, patients), job, counts)


def test_counts_of_patients_are_the_site_s_own(hospital):
    forged = np.array([1e6, 4.0, 1e6, 3.0, 1e6, 1e6, 1e6])
    result = checked(hospital, TRAINED | {"metrics": forged}, patients=10**6)
    # 8 train; 8 validate, of whom one has no label and 4 are negative, 3 positive
    assert result.patients == 15
    assert unpack(result.vectors["metrics"]).tolist() == [8, 4, 7, 3, 12, 0, 12]
    assert result.id == "call-1"


def test_figures_of_an_evaluation_are_bounded(hospital):
    plan = EvaluationPlan(ModelRef("0" * 64, PLAN), "test")
    forged = np.array([1e9, -5.0, 1e9, 5.0, 100.0, 1e9, 1e9, 1e9])
    result = checked(hospital, {"metrics": forged}, plan)
    # no share of twelve pairs varies by more than a quarter
    expected = [7, 0, 7, 5, 7, 12, 3, 12**2 / 4 / 1e6]
    assert unpack(result.vectors["metrics"]).tolist() == expected
    forged[-1] = -1.0
    result = checked(hospital, {"metrics": forged}, plan)
    assert unpack(result.vectors["metrics"])[-1] == 0


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ({"metrics": np.zeros(7)}, "not ['metrics', 'update']"),
        (TRAINED | {"secret": np.zeros(3)}, "['metrics', 'secret', 'update']"),
        (TRAINED | {"update": np.ones(P)}, "as float64 (12,)"),
        (TRAINED | {"update": np.ones(P + 1, np.float32)}, "as float32 (13,)"),
        (TRAINED | {"update": np.ones((1, P), np.float32)}, "as float32 (1, 12)"),
        (TRAINED | {"update": np.full(P, np.nan, np.float32)}, "not finite"),
        (TRAINED | {"metrics": np.zeros(8)}, "as float64 (8,)"),
        (TRAINED | {"metrics": np.full(7, np.inf)}, "not finite"),
    ],
)
def test_nothing_else_passes(hospital, vectors, says):
    with pytest.raises(IntegrityError) as error:
        checked(hospital, vectors)
    assert says in str(error.value)


def test_state_is_kept_between_rounds_and_nothing_beside_it(hospital):
    job = job_of(hospital, PLAN)
    files = {"state/c-0.bin": b"old", "elsewhere": b"x", "../x": b"x"}
    checked(hospital, TRAINED, files=files)
    assert read_state(job) == {"c-0.bin": b"old"}
    checked(hospital, TRAINED, files={"state/c-1.bin": b"new"})
    assert read_state(job) == {"c-1.bin": b"new"}
    assert [p.name for p in state_folder(job).iterdir()] == ["c-1.bin"]


@pytest.mark.parametrize("name", ["../../keys/signing.key", ".hidden", "a/b", ""])
def test_state_cannot_be_written_elsewhere(hospital, name):
    with pytest.raises(IntegrityError, match="odd names"):
        checked(hospital, TRAINED, files={f"state/{name}": b"x"})


def test_state_is_no_larger_than_a_strategy_needs(hospital):
    with pytest.raises(IntegrityError, match="more than 384 bytes"):
        checked(hospital, TRAINED, files={"state/c": bytes(4 * P * 8 + 1)})


def test_embeddings_are_parsed_and_written_anew(hospital):
    plan = EmbeddingPlan(ModelRef("0" * 64, PLAN))
    arrays = {
        "embedding": np.ones((16, 3), np.float32),
        "score": np.zeros(16, np.float32),
    }
    hidden = safetensors.numpy.save(arrays, {"note": "patient 7"})
    result = checked(hospital, {}, plan, {"embedding": hidden})
    written = (hospital.folder / "work" / "embeddings" / "e-0").read_bytes()
    assert b"patient 7" not in written
    assert np.array_equal(
        safetensors.numpy.load(written)["embedding"], np.ones((16, 3))
    )
    assert unpack(result.vectors["receipt"]).tolist() == [16, 3]
    wide = arrays | {"embedding": np.ones((16, 4), np.float32)}
    for wrong in (safetensors.numpy.save(wide), b"", b"\x80\x04cos\nsystem\n"):
        with pytest.raises(IntegrityError):
            checked(hospital, {}, plan, {"embedding": wrong})


def test_initial_weights_are_one_finite_vector():
    weights = np.arange(P, dtype=np.float32)
    assert np.array_equal(check_weights(said({"weights": weights})), weights)
    for wrong in (
        {"weights": weights.reshape(3, 4)},
        {"weights": weights, "x": weights},
    ):
        with pytest.raises(IntegrityError):
            check_weights(said(wrong))

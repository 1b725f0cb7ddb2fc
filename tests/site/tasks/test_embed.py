from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

if TYPE_CHECKING:
    from task_fixtures import Hospital

from fednb.errors import InputError
from fednb.records.arrays import unpack
from fednb.records.tasks import EmbeddingPlan, ModelRef, TrainingPlan
from fednb.site.tasks.embed import embed
from fednb.site.tasks.evaluate import predict, set_up


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def test_embeddings_stay_in_a_private_file(hospital: Hospital, plan: TrainingPlan):
    job = hospital.job(EmbeddingPlan(ModelRef("0" * 64, plan)), embedding="e.bin")
    result = embed(job, ignore)
    assert sorted(result.vectors) == ["receipt"]
    assert unpack(result.vectors["receipt"]).tolist() == [16.0, 3.0]
    path = hospital.folder / "work" / "embeddings" / "e.bin"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["e.bin"]
    arrays = safetensors.numpy.load(path.read_bytes())
    setting = set_up(job, plan)
    order = np.arange(15, -1, -1)
    units, logits = predict(setting, order, 5, lambda _: None)
    assert np.allclose(arrays["embedding"][order], units, atol=1e-6)
    assert np.allclose(arrays["score"][order], logits, atol=1e-6)
    assert arrays["embedding"].dtype == arrays["score"].dtype == np.float32


@pytest.mark.parametrize("name", ["", "../e", "a/b", ".hidden", ".."])
def test_a_file_name_cannot_lead_elsewhere(
    hospital: Hospital, plan: TrainingPlan, name: str
):
    job = hospital.job(EmbeddingPlan(ModelRef("0" * 64, plan)), embedding=name)
    with pytest.raises(InputError, match="needs a plain file name"):
        embed(job, ignore)


def test_other_plans_are_refused(hospital: Hospital, plan: TrainingPlan):
    with pytest.raises(InputError, match="embed runs an EmbeddingPlan"):
        embed(hospital.job(plan), ignore)

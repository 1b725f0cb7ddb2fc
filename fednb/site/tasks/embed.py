"""Computes embeddings and scores of every patient; they stay at the site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

from fednb.errors import InputError
from fednb.records.arrays import pack
from fednb.records.tasks import EmbeddingPlan
from fednb.site.tasks.evaluate import predict, set_up
from fednb.site.tasks.files import write_private
from fednb.site.tasks.job import JobResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.site.tasks.job import Job


def embed(job: Job, progress: Callable[[int, int], None]) -> JobResult:
    """Write ``work/embeddings/<job.embedding>``, safetensors, mode 0600.

    The file holds ``"embedding"`` (n, width) float32 and ``"score"`` (n,) float32, the
    network's logit, with rows in the manifest's order of patients.

    Returns
    -------
    result
        ``"receipt"``, float64: [n, width]. No embedding is among the vectors.

    Raises
    ------
    InputError
        The job's plan is not an `EmbeddingPlan`, or its file name is not a plain one.
    HomeError
        The disk is full.
    """
    plan = job.plan
    if not isinstance(plan, EmbeddingPlan):
        message = f"embed runs an EmbeddingPlan; got {type(plan).__name__}."
        raise InputError(message)
    name = job.embedding
    if not name or name != Path(name).name or name.startswith("."):
        message = f"An embedding needs a plain file name; got {name!r}."
        raise InputError(message)
    training = plan.model.training
    setting = set_up(job, training)
    total = len(setting.patients)
    units, scores = predict(
        setting,
        np.arange(total, dtype=np.int64),
        training.batch_size,
        lambda done: progress(done, total),
    )
    data = safetensors.numpy.save({"embedding": units, "score": scores})
    write_private(Path(job.work) / "embeddings" / name, data)
    receipt = pack(np.array([total, units.shape[1]], dtype=np.float64))
    return JobResult(job.id, {"receipt": receipt}, patients=total)

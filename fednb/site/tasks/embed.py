"""Computes embeddings and scores of every patient; they stay at the site."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

from fednb.errors import InputError
from fednb.records.arrays import pack
from fednb.records.tasks import EmbeddingPlan
from fednb.site.tasks.evaluate import predict, set_up
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
    _store(Path(job.work) / "embeddings", name, data)
    receipt = pack(np.array([total, units.shape[1]], dtype=np.float64))
    return JobResult(job.id, {"receipt": receipt}, patients=total)


def _store(folder: Path, name: str, data: bytes) -> None:
    """Write a file so that it is whole on the disk, or not there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

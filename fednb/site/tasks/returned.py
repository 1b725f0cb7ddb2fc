"""What a confined process hands back, held to what its plan allows.

The process ran somebody else's code: it may say anything. Only arrays of the names,
types and sizes that the plan has pass, finite throughout; counts of patients are the
site's own; files are parsed and written anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import safetensors
import safetensors.numpy

from fednb.errors import DatasetError, IntegrityError, UnknownNameError
from fednb.models.registry import embedding_width
from fednb.privacy.metrics import MILLION
from fednb.records.arrays import pack_all, unpack_all
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan
from fednb.site.tasks.custom import EMBEDDING
from fednb.site.tasks.files import write_private
from fednb.site.tasks.job import JobResult, state_folder
from fednb.site.tasks.table import numbers, table_of
from fednb.strategies.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.site.tasks.job import ConfinedResult, Job

    Floats = NDArray[np.float64]
    Arrays = dict[str, NDArray[np.generic]]

STATE: Final = "state/"
MOST_STATE: Final = 8
"""Times the bytes of a network's weights that a strategy may keep at a site."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Counts:
    """Numbers of patients, from the site's own table.

    Attributes
    ----------
    labels
        0, 1, or NaN, of every patient, shape (N,).
    split
        Patient indices by part.
    """

    labels: Floats
    split: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, job: Job, plan: TrainingPlan) -> Counts:
        """Count the patients of a job.

        Raises
        ------
        UnknownNameError
            The dataset has no such column.
        DatasetError
            The table does not fit the manifest, or a label is not 0 or 1.
        """
        columns = {c.name: c for c in (job.columns or job.manifest.columns)}
        target = str(plan.target)
        if target not in columns:
            raise UnknownNameError("column", target, columns)
        labels = numbers(table_of(job), columns[target])
        if not np.isin(labels[~np.isnan(labels)], (0.0, 1.0)).all():
            raise DatasetError([f"column {target!r} holds more than 0 and 1"])
        return cls(labels, job.split)

    def rows(self, part: str) -> NDArray[np.int64]:
        """Return the labelled patients of a part."""
        every = range(len(self.labels)) if part == "all" else self.split.get(part, ())
        chosen = np.asarray(every, dtype=np.int64)
        return chosen[~np.isnan(self.labels[chosen])]

    def pairs(self, rows: NDArray[np.int64]) -> tuple[int, int]:
        """Return the numbers of pairs of unlike patients, and of positives."""
        positives = int(self.labels[rows].sum())
        return positives * (len(rows) - positives), positives


def check(said: ConfinedResult, job: Job, counts: Counts) -> JobResult:
    """Return what a task computed, as far as it may be believed.

    Parameters
    ----------
    said
        By the confined process, without an error.
    job
        As the site asked.
    counts
        From the site's own table.

    Raises
    ------
    IntegrityError
        It hands back what its plan does not have.
    HomeError
        A file could not be stored.
    """
    plan = job.plan
    arrays: Arrays = unpack_all(said.result.vectors)
    if isinstance(plan, TrainingPlan):
        metrics, patients = _training(arrays, plan, job, counts)
        _keep_state(said.files, job)
    elif isinstance(plan, EvaluationPlan):
        rows = counts.rows(plan.split)
        metrics, patients = _evaluation(arrays, rows, counts), len(rows)
    elif isinstance(plan, EmbeddingPlan):
        patients = len(counts.labels)
        width = embedding_width(plan.model.training.network)
        _keep_embedding(said.files, job, (patients, width))
        receipt = np.array([patients, width], dtype=np.float64)
        return JobResult(job.id, pack_all({"receipt": receipt}), patients)
    else:
        message = f"{type(plan).__name__} runs no code."
        raise IntegrityError(message)
    return JobResult(job.id, pack_all(arrays | {"metrics": metrics}), patients)


def check_weights(said: ConfinedResult) -> NDArray[np.float32]:
    """Return initial weights, flat float32 and finite.

    Raises
    ------
    IntegrityError
        They are something else.
    """
    arrays: Arrays = unpack_all(said.result.vectors)
    _same_names(set(arrays), {"weights"})
    weights = arrays["weights"]
    _fits("weights", weights, np.dtype(np.float32), (weights.size,))
    return np.asarray(weights, dtype=np.float32)


def _training(
    arrays: Arrays, plan: TrainingPlan, job: Job, counts: Counts
) -> tuple[Floats, int]:
    strategy = resolve(plan.strategy)
    size = int(np.prod(job.arrays["weights"].shape))
    sizes = {"weights": size} if strategy.relay else strategy.vectors(size)
    _same_names(set(arrays), {*sizes, "metrics"})
    for name, elements in sizes.items():
        _fits(name, arrays[name], np.dtype(np.float32), (elements,))
    values = arrays["metrics"]
    _fits("metrics", values, np.dtype(np.float64), (7,))
    train = counts.rows("train")
    due = plan.validate_every and job.round % plan.validate_every == 0
    validation = counts.rows("validation") if due else train[:0]
    pairs, _ = counts.pairs(validation)
    losses = np.maximum(np.asarray(values, np.float64)[[1, 3]], 0.0)
    found = _concordant(values[4:6], pairs)
    held = [len(train), losses[0], len(validation), losses[1] * bool(len(validation))]
    return np.array([*held, *found, pairs], dtype=np.float64), len(train) + len(
        validation
    )


def _evaluation(arrays: Arrays, rows: NDArray[np.int64], counts: Counts) -> Floats:
    _same_names(set(arrays), {"metrics"})
    values = arrays["metrics"]
    _fits("metrics", values, np.dtype(np.float64), (8,))
    pairs, positives = counts.pairs(rows)
    loss, brier = np.maximum(np.asarray(values, np.float64)[1:3], 0.0)
    found = _concordant(values[3:5], pairs)
    # no share of pairs varies more
    spread = np.clip(float(values[7]), 0.0, pairs**2 / 4 / MILLION)
    held = [len(rows), loss, min(brier, len(rows)), *found, pairs, positives, spread]
    return np.array(held, dtype=np.float64)


def _concordant(values: NDArray[np.generic], pairs: int) -> tuple[float, float]:
    """Return concordant and tied pairs, of which there are at most so many."""
    concordant, tied = np.clip(np.round(np.asarray(values, np.float64)), 0, pairs)
    return float(concordant), float(min(tied, pairs - concordant))


def _same_names(found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        message = f"The code's process returned {sorted(found)}, not {sorted(wanted)}."
        raise IntegrityError(message)


def _fits(
    name: str,
    values: NDArray[np.generic],
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
) -> None:
    if values.dtype != dtype or values.shape != shape:
        message = (
            f"The code's process returned {name!r} as {values.dtype} {values.shape}, "
            f"not as {dtype} {shape}."
        )
        raise IntegrityError(message)
    if not np.isfinite(np.asarray(values, np.float64)).all():
        message = f"The code's process returned {name!r} with values not finite."
        raise IntegrityError(message)


def _keep_state(files: Mapping[str, bytes], job: Job) -> None:
    """Store what the strategy keeps until its next round; drop what it dropped."""
    kept = {n.removeprefix(STATE): d for n, d in files.items() if n.startswith(STATE)}
    most = MOST_STATE * job.arrays["weights"].data.nbytes
    odd = [name for name in kept if not _PLAIN.fullmatch(name)]
    if odd or sum(map(len, kept.values())) > most:
        message = f"The code's process keeps more than {most} bytes, or odd names."
        raise IntegrityError(message)
    folder = state_folder(job)
    for name, data in kept.items():
        write_private(folder / name, data)
    for path in read_state(job):
        if path not in kept:
            (folder / path).unlink(missing_ok=True)


def read_state(job: Job) -> dict[str, bytes]:
    """Return the files that a strategy keeps at the site, by name."""
    folder = state_folder(job)
    if not folder.is_dir():
        return {}
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return {path.name: path.read_bytes() for path in files}


def _keep_embedding(
    files: Mapping[str, bytes], job: Job, shape: tuple[int, int]
) -> None:
    try:
        arrays = safetensors.numpy.load(files.get(EMBEDDING, b""))
    except safetensors.SafetensorError as error:
        message = "The code's process returned no embeddings."
        raise IntegrityError(message, detail=str(error)) from error
    _same_names(set(arrays), {"embedding", "score"})
    _fits("embedding", arrays["embedding"], np.dtype(np.float32), shape)
    _fits("score", arrays["score"], np.dtype(np.float32), shape[:1])
    data = safetensors.numpy.save(arrays)
    write_private(Path(job.work) / "embeddings" / job.embedding, data)

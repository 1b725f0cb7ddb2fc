"""What a summed step reads of some patients: rows, columns of the table, embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

from fednb.errors import DatasetError
from fednb.site.tasks.table import PATIENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fednb.records.assessment import AssessmentPlan
    from fednb.records.heads import HeadPlan
    from fednb.site.tasks.job import Job
    from fednb.survival.episodes import Steps
    from fednb.survival.formula import Terms

    Floats = NDArray[np.float64]
    Table = Mapping[str, NDArray[np.generic]]


def rows_of(split: Mapping[str, tuple[int, ...]], part: str) -> NDArray[np.intp]:
    """Return the rows of a part of the split, or of ``"all"``, ascending."""
    names = ("train", "validation", "test") if part == "all" else (part,)
    parts = [np.asarray(split[name], dtype=np.intp) for name in names]
    return np.sort(np.concatenate(parts))


def taken(table: Table, names: Iterable[str], rows: NDArray[np.intp]) -> Table:
    """Return some rows of the named columns; of all rows, no copy.

    Parameters
    ----------
    table
        From `fednb.site.tasks.table.load_table`.
    names
        Columns; those that the table lacks are left out.
    rows
        Row numbers, ascending, each once.
    """
    used = {name: table[name] for name in names if name in table}
    if rows.size == table[PATIENT].size:
        return used
    return {name: values[rows] for name, values in used.items()}


def design_columns(
    parts: tuple[Terms, Steps, Floats | None],
    table: Table,
    index: NDArray[np.intp],
    whole: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the design's raw columns of some rows.

    Parameters
    ----------
    parts
        The design's terms, which columns act when, and the embeddings, if any.
    table
        Columns of the table at these rows.
    index
        Row numbers.
    whole
        Which of the rows are complete; None: all are taken.
    """
    terms, steps, embedding = parts
    x = terms.build(table, len(index))
    if embedding is not None:
        x = np.concatenate([embedding[index], x], axis=1)
    if steps:
        x = x[:, list(steps.source)]
    if whole is None or whole.all():
        return x
    return np.asfortranarray(x[whole])


def load_embedding(job: Job, plan: HeadPlan | AssessmentPlan) -> Floats | None:
    """Return a model's features from stored embeddings, shape (n, width)."""
    if plan.features == "none" or not job.embedding:
        return None
    path = Path(job.work) / "embeddings" / job.embedding
    if not path.is_file():
        raise DatasetError([f"The embeddings {job.embedding} are not at this site."])
    stored = load_file(path)
    if plan.features == "score":
        return np.asarray(stored["score"], dtype=np.float64).reshape(-1, 1)
    return np.asarray(stored["embedding"], dtype=np.float64)


def check_follow_up(columns: Mapping[str, Floats], least: int) -> None:
    """Refuse times and weights that no model can be fitted to.

    Parameters
    ----------
    columns
        ``"time"``, and where there are any ``"entry"`` and ``"weights"``.
    least
        The threshold: of fewer patients not even an error may tell.

    Raises
    ------
    DatasetError
        A time is negative, a weight is not positive, or a patient enters at or after
        the exit: the owner has to correct the table.
    """
    time = columns["time"]
    if len(time) < least:
        return
    problems = {
        "have a negative follow-up time": time < 0,
        "enter at or after their exit": columns.get("entry", time - 1) >= time,
        "have a weight that is not positive": columns.get("weights", time + 1) <= 0,
    }
    wrong = [
        f"{int(bad.sum())} patients {what}; correct or remove them"
        for what, bad in problems.items()
        if bad.any()
    ]
    if wrong:
        raise DatasetError(wrong)

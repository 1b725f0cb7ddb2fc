"""On which patients a summed step is computed: disclosure rules 12 and 19.

The step's site half reads its patients from the job's split. Here that split is settled
with the book of earlier fits, before the half is built, so that no half has to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.privacy.fits import EVALUATED, FITTED, FitBook
from fednb.privacy.rules import Safe
from fednb.records.assessment import AssessmentPlan
from fednb.records.heads import HeadPlan
from fednb.records.specs import SummedPlan
from fednb.site.tasks.heads import load_embedding
from fednb.site.tasks.table import table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job

    Members = NDArray[np.bool_]


def settled(job: Job, book: FitBook) -> Safe[Job]:
    """Return the job on the patients that the rules let it have.

    Parameters
    ----------
    job
        Of a summed step.
    book
        Earlier fits; takes this one up.

    Returns
    -------
    job
        None where a rule stops it. With the decisions behind it.
    """
    able = _complete(job)
    if isinstance(job.plan, AssessmentPlan):
        return _assessed(job, job.plan, book, able)
    if not isinstance(job.plan, HeadPlan):
        whole = book.patients(FITTED, able, able)
        split = {"train": _indices(whole), "validation": (), "test": ()}
        return _drawn(msgspec.structs.replace(job, split=split), book, (whole,))
    asked = [(FITTED, job.plan.fit_on)]
    if job.plan.evaluate_on != "none":
        asked.append((EVALUATED, job.plan.evaluate_on))
    found = [book.patients(s, _part(job, part) & able, able) for s, part in asked]
    drawn = _drawn(job, book, tuple(found))
    if drawn.value is None:
        return drawn
    patients = [_indices(safe) for safe in found] + [()]
    plan = msgspec.structs.replace(job.plan, fit_on="train")
    if len(asked) > 1:
        plan = msgspec.structs.replace(plan, evaluate_on="test")
    split = {"train": patients[0], "validation": (), "test": patients[1]}
    made = msgspec.structs.replace(job, plan=plan, split=split)
    return Safe(made, drawn.decisions)


def _assessed(
    job: Job, plan: AssessmentPlan, book: FitBook, able: Members
) -> Safe[Job]:
    """Return an assessment's job on the patients that the rules let it have."""
    found = book.patients(EVALUATED, _part(job, plan.on) & able, able)
    drawn = _drawn(job, book, (found,))
    if drawn.value is None:
        return drawn
    split = {"train": (), "validation": (), "test": _indices(found)}
    plan = msgspec.structs.replace(plan, on="test")
    return Safe(msgspec.structs.replace(job, plan=plan, split=split), drawn.decisions)


def _drawn(job: Job, book: FitBook, found: tuple[Safe[Members], ...]) -> Safe[Job]:
    """Draw on the budget where every cohort may be had."""
    decisions: tuple[Decision, ...] = tuple(d for safe in found for d in safe.decisions)
    chosen = [safe.value for safe in found if safe.value is not None]
    if len(chosen) < len(found):
        return Safe(None, decisions)
    drawn = book.draw(chosen)
    return Safe(job if drawn.allow else None, (*decisions, drawn))


def _part(job: Job, part: str) -> Members:
    names = tuple(job.split) if part == "all" else (part,)
    members = np.zeros(len(job.manifest.patients), dtype=np.bool_)
    for name in names:
        members[list(job.split[name])] = True
    return members


def _indices(safe: Safe[Members]) -> tuple[int, ...]:
    return () if safe.value is None else tuple(np.flatnonzero(safe.value).tolist())


def _complete(job: Job) -> Members:
    """Return which patients have every value that the step needs."""
    table = table_of(job)
    whole = np.ones(len(job.manifest.patients), dtype=np.bool_)
    plan = job.plan
    for name in plan.needs() if isinstance(plan, SummedPlan) else ():
        values = table[name]
        whole &= np.isfinite(values) if values.dtype.kind == "f" else values != ""
    if isinstance(plan, HeadPlan | AssessmentPlan):
        embedding = load_embedding(job, plan)
        if embedding is not None:
            whole &= np.isfinite(embedding).all(axis=1)
    return whole

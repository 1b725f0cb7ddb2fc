"""On which patients a summed step is computed: disclosure rules 12 and 19.

The step's site half reads its patients from the job's split. Here that split is settled
with the book of earlier fits, before the half is built, so that no half has to know.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.privacy.fits import EVALUATED, FITTED, FitBook
from fednb.privacy.rules import Safe
from fednb.records.assessment import AssessmentPlan
from fednb.records.heads import CoxPlan, HeadPlan
from fednb.records.specs import SummedPlan
from fednb.site.tasks.table import table_of
from fednb.site.tasks.taken import load_embedding
from fednb.survival.formula import level_codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.records.outputs import Decision
    from fednb.records.tasks import AnyPlan
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
        made = msgspec.structs.replace(job, split=split)
        return _drawn(made, book, (able,), (whole,))
    asked = [(FITTED, _part(job, job.plan.fit_on) & able)]
    if job.plan.evaluate_on != "none":
        asked.append((EVALUATED, _part(job, job.plan.evaluate_on) & able))
    found = [book.patients(series, members, able) for series, members in asked]
    drawn = _drawn(job, book, [members for _, members in asked], tuple(found))
    if drawn.value is None:
        return drawn
    apart = _cut(job, book, found[0].value)
    decisions = (*drawn.decisions, *apart)
    if not all(decision.allow for decision in apart):
        return Safe(None, decisions)
    patients = [_indices(safe) for safe in found] + [()]
    plan = msgspec.structs.replace(job.plan, fit_on="train")
    if len(asked) > 1:
        plan = msgspec.structs.replace(plan, evaluate_on="test")
    split = {"train": patients[0], "validation": (), "test": patients[1]}
    made = msgspec.structs.replace(job, plan=plan, split=split)
    return Safe(made, decisions)


def _assessed(
    job: Job, plan: AssessmentPlan, book: FitBook, able: Members
) -> Safe[Job]:
    """Return an assessment's job on the patients that the rules let it have."""
    asked = _part(job, plan.on) & able
    found = book.patients(EVALUATED, asked, able)
    drawn = _drawn(job, book, (asked,), (found,))
    if drawn.value is None:
        return drawn
    split = {"train": (), "validation": (), "test": _indices(found)}
    plan = msgspec.structs.replace(plan, on="test")
    return Safe(msgspec.structs.replace(job, plan=plan, split=split), drawn.decisions)


def _drawn(
    job: Job,
    book: FitBook,
    asked: Sequence[Members],
    found: tuple[Safe[Members], ...],
) -> Safe[Job]:
    """Draw on the budget, whether or not every cohort may be had."""
    decisions: tuple[Decision, ...] = tuple(d for safe in found for d in safe.decisions)
    chosen = [safe.value for safe in found if safe.value is not None]
    if len(chosen) < len(found):
        # that they cannot be had tells of them, too: it is counted as if they were
        return Safe(None, (*decisions, book.draw(asked)))
    drawn = book.draw(chosen)
    return Safe(job if drawn.allow else None, (*decisions, drawn))


def _cut(job: Job, book: FitBook, members: Members | None) -> tuple[Decision, ...]:
    """Whether a fit's ends and those of earlier ones cut out no few (rule 10)."""
    plan = job.plan
    ends = set[float]()
    if isinstance(plan, CoxPlan):
        ends = {*plan.grid, *itertools.chain(*plan.time_varying.values())}
    if members is None or not isinstance(plan, CoxPlan) or not ends:
        return ()
    table = table_of(job)
    time = np.asarray(table[plan.duration], dtype=np.float64)
    whole = np.zeros(time.size, dtype=np.int64)
    strata = whole
    declared = {column.name: column for column in job.columns}
    for name in plan.strata_columns:
        levels = plan.levels[name]
        codes = level_codes(table[name], declared[name], levels)
        strata = strata * len(levels) + codes
    # whoever is in no stratum is no member
    kinds = {"": whole, ",".join(plan.strata_columns): strata}
    return tuple(
        book.cut(f"ends:{plan.duration}:{kind}", members, ends, (time, group))
        for kind, group in kinds.items()
    )


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
    # whose label is none of the plan's takes no part: labels choose cohorts, too
    declared = {column.name: column for column in job.columns}
    for name, levels in _levels(plan).items():
        whole &= level_codes(table[name], declared[name], levels) >= 0
    if isinstance(plan, HeadPlan | AssessmentPlan):
        embedding = load_embedding(job, plan)
        if embedding is not None:
            whole &= np.isfinite(embedding).all(axis=1)
    return whole


def _levels(plan: AnyPlan) -> Mapping[str, tuple[str, ...]]:
    """Return the labels outside which a patient is left out, by column."""
    if isinstance(plan, AssessmentPlan):
        return plan.model.levels
    return plan.levels if isinstance(plan, HeadPlan) else {}

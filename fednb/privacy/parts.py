"""Rule 12 for networks: which patients one is trained on, and evaluated on.

Two trainings from the same weights, on patients that differ by one, give that patient's
gradient when they are subtracted, whatever hides the sites' parts; two evaluations give
a loss. So a part of the split that differs from an earlier one by fewer patients than
the threshold is the earlier one; where some of its patients are gone, nothing is
trained. Whoever was trained on is in no other part. Differential privacy bounds what
one patient does, and needs no such rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.privacy.rules import Safe
from fednb.records.tasks import EvaluationPlan, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fednb.privacy.differencing import Members
    from fednb.privacy.fits import FitBook
    from fednb.records.outputs import Decision
    from fednb.records.tasks import AnyPlan

    Split = dict[str, tuple[int, ...]]

TRAINED: Final = "training"
"""The series of cohorts on which networks were trained."""

CHECKED: Final = "network"
"""The series of cohorts on which networks were validated or evaluated."""


def settled_parts(
    plan: AnyPlan, split: Mapping[str, tuple[int, ...]], patients: int, book: FitBook
) -> Safe[Split]:
    """Return the parts of a split that the rules let a step have.

    Parameters
    ----------
    plan
        A step that trains a network or uses a trained one.
    split
        Patient indices by part, as asked for.
    patients
        Of the dataset.
    book
        Earlier cohorts; takes those of this step up.

    Returns
    -------
    split
        None where a rule stops it. With the decisions behind it.
    """
    asked = {name: _members(rows, patients) for name, rows in split.items()}
    decisions: tuple[Decision, ...] = ()
    if isinstance(plan, TrainingPlan):
        found = _cohort(book, TRAINED, asked["train"])
        if found.value is None:
            return Safe(None, found.decisions)
        trained, decisions = found.value, found.decisions
    else:
        trained = book.earlier(TRAINED, asked["train"])
    parts = {name: members & ~trained for name, members in asked.items()}
    parts["train"] = trained
    part = _checked(plan)
    if part == "all":
        parts = {name: np.zeros(patients, dtype=np.bool_) for name in parts}
        parts["test"] = np.logical_or.reduce(list(asked.values()))
        part = "test"
    if part:
        found = _cohort(book, CHECKED, parts[part])
        decisions = (*decisions, *found.decisions)
        if found.value is None:
            return Safe(None, decisions)
        parts[part] = found.value
    made = {n: tuple(np.flatnonzero(members).tolist()) for n, members in parts.items()}
    return Safe(made, decisions)


def _checked(plan: AnyPlan) -> str:
    """Return the part whose figures leave; empty: none, or those trained on."""
    if isinstance(plan, TrainingPlan):
        return "validation" if plan.validate_every else ""
    part = plan.split if isinstance(plan, EvaluationPlan) else ""
    return "" if part == "train" else part


def _cohort(book: FitBook, series: str, members: Members) -> Safe[Members]:
    """Return a cohort or an earlier one; of few nothing leaves, and none is kept."""
    if not book.holds(members):
        return Safe(members, ())
    return book.patients(series, members, np.ones_like(members))


def _members(rows: tuple[int, ...], patients: int) -> Members:
    members = np.zeros(patients, dtype=np.bool_)
    members[list(rows)] = True
    return members

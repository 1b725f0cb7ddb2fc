"""Prepares volumes for a confined process, which sees nothing else of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fednb.errors import InputError
from fednb.records.tasks import TrainingPlan
from fednb.site.tasks.job import JobResult
from fednb.site.tasks.patients import patients_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.site.tasks.job import Handover


def hand_over(ask: Handover, advance: Callable[[int, int], None]) -> JobResult:
    """Fill the cache of a plan's fixed, named transforms.

    Raises
    ------
    InputError
        The job's plan is not a `TrainingPlan`.
    DatasetError
        A patient has no volume, or the table does not fit.
    """
    plan = ask.job.plan
    if not isinstance(plan, TrainingPlan):
        message = f"Volumes are prepared by a TrainingPlan; got {type(plan).__name__}."
        raise InputError(message)
    patients = patients_of(ask.job, plan, torch.device("cpu"))
    total = len(ask.rows)
    patients.store(ask.rows, lambda done: advance(done, total))
    return JobResult(ask.id, patients=total)

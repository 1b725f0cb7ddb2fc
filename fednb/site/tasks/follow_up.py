"""Follow-up of a site's patients: intervals, sums of hazards, losses, pairs.

Where a baseline leaves or is handed in, times are replaced by intervals first, and
these merged until each holds enough of the site's own exits (disclosure rule 10): a
stepped baseline then singles nobody out. Where there is a threshold they are merged on
the owner's grid, whatever intervals the contract names: these put whole runs together,
so another choice of them parts nobody else. Pairs are counted on times as they are
recorded, since only their numbers leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from fednb.errors import InputError
from fednb.records.arrays import pack, unpack
from fednb.site.tasks.evaluate import predict
from fednb.site.tasks.job import JobResult
from fednb.site.tasks.losses import (
    Criterion,
    CrossEntropy,
    DiscreteTime,
    ExactProfile,
    OwnLoss,
    PartialLikelihood,
    check_separable,
)
from fednb.survival.deepcox import Baseline, HazardSums, interval_codes, merge_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fednb.records.outcomes import Survival
    from fednb.records.tasks import TrainingPlan
    from fednb.site.tasks.evaluate import Setting
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.patients import Patients

    Rows = NDArray[np.int64]

BASELINE: Final = "baseline"
"""Name of the sums of hazards: S0, D0 and d of every interval."""


def asks_for_sums(job: Job, plan: TrainingPlan) -> bool:
    """Whether a job is the first half of a deep Cox round: it brings no sums yet."""
    survival = plan.survival
    return survival is not None and survival.summed and BASELINE not in job.arrays


def sum_hazards(
    job: Job,
    plan: TrainingPlan,
    setting: Setting,
    rows: Rows,
    progress: Callable[[int, int], None],
) -> JobResult:
    """Return ``"baseline"``, float64: S0, D0 and d of every interval.

    One pass over the training patients in evaluation mode, without augmentation.

    Parameters
    ----------
    job, plan, setting
        Of the call, with the round's weights.
    rows
        Training patients with a known outcome.
    progress
        Called with the number of patients done, and of all.

    Raises
    ------
    InputError
        The target is not deep Cox, or the network mixes patients of a batch.
    FitError
        A log-hazard is out of range.
    """
    survival = _stepped(plan)
    check_separable(setting.model)
    count = len(rows)
    _, eta = predict(setting, rows, plan.batch_size, lambda done: progress(done, count))
    codes = _codes(job, setting.patients, survival, rows)
    events = setting.patients.labels[rows]
    sums = HazardSums.of(eta, codes, events, len(survival.intervals))
    return JobResult(job.id, {BASELINE: pack(sums.to_vector())}, patients=count)


def criterion_of(
    job: Job, plan: TrainingPlan, setting: Setting, parts: Sequence[Rows]
) -> Criterion:
    """Return the loss of a plan at this site.

    Parameters
    ----------
    job, plan, setting
        Of the call.
    parts
        Training patients, then others that the loss is told of; intervals are merged
        in each part by itself.

    Raises
    ------
    InputError
        The sums of a deep Cox round are missing or damaged.
    FitError
        No training patient of any site dies.
    """
    patients, survival = setting.patients, plan.survival
    if plan.loss is not None:
        return OwnLoss(plan.loss, patients.labels)
    if survival is None:
        return CrossEntropy(patients.labels)
    events = np.nan_to_num(patients.labels)
    if not survival.stepped:
        return PartialLikelihood(patients.times, events, survival.ties)
    codes = np.zeros(len(patients), dtype=np.intp)
    for rows in parts:
        codes[rows] = _codes(job, patients, survival, rows)
    if not survival.summed:
        alpha = setting.model.baseline
        if alpha is None:
            message = "A network without a baseline cannot be trained in discrete time."
            raise InputError(message)
        return DiscreteTime(alpha, codes, events)
    sums = HazardSums.from_vector(unpack(job.arrays[BASELINE]))
    if len(sums.deaths) != len(survival.intervals):
        message = (
            f"The sums have {len(sums.deaths)} intervals; the plan has "
            f"{len(survival.intervals)}."
        )
        raise InputError(message)
    baseline = Baseline.of(sums, survival.ties)
    count = len(parts[0])
    return ExactProfile.of_site(
        baseline, codes, events, patients=count, share=job.share
    )


def mean_loss(criterion: Criterion, logits: NDArray[np.float32], rows: Rows) -> float:
    """Return the mean loss of some patients at given outputs, in float64."""
    with torch.no_grad():
        eta = torch.from_numpy(logits.astype(np.float64))
        return float(criterion(eta, rows))


def _codes(
    job: Job, patients: Patients, survival: Survival, rows: Rows
) -> NDArray[np.intp]:
    """Return the contract's interval of each patient, of runs that hold enough."""
    times = patients.times[rows]
    if job.threshold > 1:
        declared = job.columns or job.manifest.columns
        (column,) = (c for c in declared if c.name == survival.duration)
        times = merge_times(times, column.grid()[1:], job.threshold)
    return interval_codes(times, survival.intervals)


def _stepped(plan: TrainingPlan) -> Survival:
    survival = plan.survival
    if survival is None or not survival.summed:
        message = f"Only deep Cox sums hazards; the target is {plan.target}."
        raise InputError(message)
    return survival

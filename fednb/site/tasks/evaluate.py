"""Evaluates a network: sums over a split's patients, and counts of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from fednb.errors import InputError
from fednb.models.build import build
from fednb.models.weights import load_flat
from fednb.privacy.metrics import MILLION, EvaluationSums
from fednb.records.arrays import pack, unpack
from fednb.records.base import canonical
from fednb.records.code import Code
from fednb.records.specs import ModelSpec
from fednb.records.tasks import EvaluationPlan
from fednb.site.tasks.job import JobResult
from fednb.site.tasks.patients import nobody, patients_of
from fednb.site.tasks.runtime import prepare
from fednb.survival.concordance import pair_counts
from fednb.survival.pairs import spread_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.models.build import ImageNetwork
    from fednb.records.tasks import TrainingPlan
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.patients import Patients
    from fednb.site.tasks.runtime import Runtime

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """A plan's network with the job's weights, its patients, and where it runs."""

    model: ImageNetwork
    patients: Patients
    runtime: Runtime


def set_up(job: Job, plan: TrainingPlan) -> Setting:
    """Return a plan's network, holding ``job.arrays["weights"]``, and its patients.

    Raises
    ------
    InputError
        The job brings no weights, or weights of another network.
    """
    if "weights" not in job.arrays:
        message = f"The call has no weights; it has {sorted(job.arrays) or 'nothing'}."
        raise InputError(message)
    runtime = prepare(
        plan.device, amp=plan.amp, threads=plan.threads, gpu_gib=job.gpu_gib
    )
    channels = len(plan.modalities or job.manifest.modalities)
    covariates = len(plan.covariates)
    model = _network(canonical(plan.network), channels, covariates, runtime.device)
    load_flat(model, unpack(job.arrays["weights"]).astype(np.float32, copy=False))
    return Setting(model, patients_of(job, plan, runtime.device), runtime)


@lru_cache(maxsize=1)
def _network(
    spec: bytes, channels: int, covariates: int, device: torch.device
) -> ImageNetwork:
    """Return a network that stays warm between calls; its weights are overwritten."""
    network = msgspec.json.decode(spec, type=ModelSpec | Code)
    return build(network, channels, covariates, seed=0).to(device)


def predict(
    setting: Setting,
    rows: NDArray[np.int64],
    size: int,
    advance: Callable[[int], None],
) -> tuple[Floats, Floats]:
    """Return bottleneck units (n, width) and logits (n,), in the order of `rows`.

    Parameters
    ----------
    setting
        Network and patients.
    rows
        Patients.
    size
        Patients a batch.
    advance
        Called with the number of patients done so far.
    """
    units = np.zeros((len(rows), setting.model.width), dtype=np.float32)
    logits = np.zeros(len(rows), dtype=np.float32)
    setting.model.eval()
    with torch.no_grad():
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            batch = setting.patients.batch(rows[part])
            with setting.runtime.precision():
                inner = setting.model.embed(batch.images)
                outer = setting.model.decide(inner, batch.covariates)
            units[part] = inner.float().cpu().numpy()
            logits[part] = outer.float().cpu().numpy()[:, 0]
            advance(min(start + size, len(rows)))
    return units, logits


def outcome_of(
    patients: Patients, plan: TrainingPlan, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return exit times and deaths of patients; of a label, None and the label."""
    times = None if plan.survival is None else patients.times[rows]
    return times, patients.labels[rows]


def log_losses(labels: NDArray[np.float64], logits: Floats) -> NDArray[np.float64]:
    """Return -log p(label) a patient, stable for large logits, shape (n,)."""
    z = logits.astype(np.float64)
    losses: NDArray[np.float64] = np.logaddexp(0.0, z) - labels * z
    return losses


def evaluate(job: Job, progress: Callable[[int, int], None]) -> JobResult:
    """Evaluate a trained network on a split.

    Returns
    -------
    result
        ``"metrics"``, float64: a `fednb.privacy.metrics.EvaluationSums`.

    Raises
    ------
    InputError
        The job's plan is not an `EvaluationPlan`.
    DatasetError
        No patient of the split has a label.
    """
    plan = job.plan
    if not isinstance(plan, EvaluationPlan):
        message = f"evaluate runs an EvaluationPlan; got {type(plan).__name__}."
        raise InputError(message)
    training = plan.model.training
    setting = set_up(job, training)
    every = sorted({row for part in job.split.values() for row in part})
    rows = setting.patients.labelled(
        every if plan.split == "all" else job.split.get(plan.split, ())
    )
    if not rows.size:
        target = ", ".join(map(repr, training.outcome))
        problem = f"no patient of split {plan.split!r} has a label {target}"
        raise nobody(problem, job.threshold)
    total = len(rows)
    _, logits = predict(
        setting, rows, training.batch_size, lambda done: progress(done, total)
    )
    times, labels = outcome_of(setting.patients, training, rows)
    pairs = pair_counts(times, labels, logits)
    losses = (0.0, 0.0)
    if training.survival is None:
        brier = (1 / (1 + np.exp(-logits.astype(np.float64))) - labels) ** 2
        losses = (float(log_losses(labels, logits).sum()), float(brier.sum()))
    counts = (pairs.concordant, pairs.tied, pairs.comparable)
    spread = spread_of(times, labels, logits) / MILLION
    metrics = EvaluationSums(total, *losses, *counts, labels.sum(), spread)
    vector = pack(np.array(metrics, dtype=np.float64))
    return JobResult(job.id, {"metrics": vector}, patients=total)

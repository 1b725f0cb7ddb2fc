"""Trains a network for one round, with the site half of the plan's strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import InputError, RunError
from fednb.models.build import build
from fednb.models.optimise import optimiser
from fednb.models.weights import flatten, split_flat, state_of
from fednb.privacy.metrics import TrainingSums
from fednb.records.arrays import pack, pack_all, unpack_all
from fednb.records.base import canonical, sha256_hex
from fednb.records.tasks import TrainingPlan
from fednb.site.tasks.evaluate import (
    Setting,
    log_losses,
    outcome_of,
    predict,
    set_up,
)
from fednb.site.tasks.files import write_private
from fednb.site.tasks.follow_up import (
    asks_for_sums,
    criterion_of,
    mean_loss,
    sum_hazards,
)
from fednb.site.tasks.job import JobResult
from fednb.site.tasks.patients import nobody
from fednb.site.tasks.runtime import generator, seed_torch
from fednb.strategies.base import LocalRound
from fednb.strategies.registry import resolve
from fednb.survival.concordance import pair_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from fednb.site.tasks.job import InitialiseJob, Job
    from fednb.site.tasks.losses import Criterion
    from fednb.site.tasks.patients import Batch, Patients


def initialise(job: InitialiseJob) -> JobResult:
    """Return seeded initial weights as ``"weights"``, flat float32.

    Raises
    ------
    InputError
        The network cannot be built as the job names it.
    """
    network = build(job.network, job.channels, job.covariates, job.seed)
    return JobResult(job.id, {"weights": pack(flatten(state_of(network)))})


def train(job: Job, progress: Callable[[int, int], None]) -> JobResult:
    """Train for one round and return what the strategy sends.

    The incoming weights are validated first where `validate_every` says so. A job of
    deep Cox that brings no sums of hazards is asked for this site's part of them.

    Parameters
    ----------
    job
        With ``"weights"`` and whatever else the strategy broadcasts in its arrays.
    progress
        Called with the number of batches done, and of all.

    Returns
    -------
    result
        The vectors that the strategy names, float32, and ``"metrics"``, float64: a
        `fednb.privacy.metrics.TrainingSums`, of which the last five are 0 in a round
        without validation.

    Raises
    ------
    InputError
        The plan names something unknown, or the weights are another network's.
    DatasetError
        No training patient has a label.
    RunError
        The weights are not finite after training.
    """
    plan = job.plan
    if not isinstance(plan, TrainingPlan):
        message = f"train runs a TrainingPlan; got {type(plan).__name__}."
        raise InputError(message)
    strategy = resolve(plan.strategy)
    strategy.check(plan.optimiser)
    setting = set_up(job, plan)
    rows = _trained_on(job, plan, setting)
    if asks_for_sums(job, plan):
        return sum_hazards(job, plan, setting, rows, progress)
    watched = _watched(job, plan, setting)
    criterion = criterion_of(job, plan, setting, (rows, watched))
    validation = _validate(plan, setting, watched, criterion)
    seed_torch(plan.seed, job.site, job.round, "torch")
    loss = _Loss(setting, criterion)
    work = _local_round(job, plan, setting, rows, loss, progress)
    if plan.dp is not None:
        # Opacus takes seconds to import: only who asks for it waits
        from fednb.site.tasks.private import private_round

        work = private_round(job, plan, setting, rows, work, progress)
    vectors = strategy.local(work)
    for name, values in vectors.items():
        if not np.isfinite(values).all():
            message = (
                f"The {name} of round {job.round} is not finite. Use a lower "
                "learning rate."
            )
            raise RunError(message, site=job.site)
    trained = [float(len(rows)), len(rows) * loss.mean()]
    if plan.dp is not None:
        trained = [0.0, 0.0]  # what is told of those trained on is their noisy sum
    metrics = np.array(TrainingSums(*trained, *validation), dtype=np.float64)
    packed = pack_all(vectors) | {"metrics": pack(metrics)}
    # figures of few validation patients are withheld; few trained on stop the round
    return JobResult(job.id, packed, patients=len(rows))


def learning_rate(plan: TrainingPlan, round_: int, rounds: int) -> float:
    """Return the learning rate of a round; cosine falls from the plan's to near 0."""
    if plan.schedule == "constant":
        return plan.learning_rate
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * round_ / rounds))


@dataclass
class _Loss:
    """Loss of a batch; keeps count for the metrics."""

    setting: Setting
    criterion: Criterion
    total: Any = 0.0
    seen: int = 0

    def __call__(
        self, batch: Batch, class_weights: tuple[float, float] | None = None, /
    ) -> Tensor:
        with self.setting.runtime.precision():
            logits = self.setting.model(batch.images, batch.covariates)
        loss = self.criterion(logits[:, 0].float(), batch.rows, class_weights)
        # Summed on the device: reading it every batch would wait for a GPU.
        self.total = self.total + loss.detach() * len(batch.rows)
        self.seen += len(batch.rows)
        return loss * self.criterion.scale

    def mean(self) -> float:
        """Return the mean loss a patient over all that were seen."""
        return float(self.total) / max(self.seen, 1)


@dataclass
class _Batches:
    """Training patients in random order; draws only from generators of its own."""

    patients: Patients
    rows: NDArray[np.int64]
    size: int
    epochs: int
    order: np.random.Generator
    augment: np.random.Generator
    progress: Callable[[int, int], None]
    done: int = field(default=0)

    def __call__(
        self, *, balanced: bool = False, iterations: int = 0
    ) -> Iterator[Batch]:
        count = iterations or math.ceil(len(self.rows) / self.size)
        drawn = self._balanced() if balanced else self._shuffled()
        for _ in range(count):
            yield self.patients.batch(next(drawn), self.augment)
            self.done += 1
            self.progress(self.done, count * self.epochs)

    def _shuffled(self) -> Iterator[NDArray[np.int64]]:
        """Yield batches of one permutation after the other."""
        while True:
            shuffled = self.order.permutation(self.rows)
            for start in range(0, len(shuffled), self.size):
                yield shuffled[start : start + self.size]

    def _balanced(self) -> Iterator[NDArray[np.int64]]:
        """Yield batches with P(i) ~ 1/n of i's label, with replacement."""
        labels = self.patients.labels[self.rows].astype(np.int64)
        weights = 1.0 / np.bincount(labels, minlength=2)[labels]
        size = min(self.size, len(self.rows))
        while True:
            yield self.order.choice(self.rows, size, p=weights / weights.sum())


def _local_round(
    job: Job,
    plan: TrainingPlan,
    setting: Setting,
    rows: NDArray[np.int64],
    loss: _Loss,
    progress: Callable[[int, int], None],
) -> LocalRound:
    """Return what the strategy's site half works with."""
    model = setting.model
    rate = learning_rate(plan, job.round, job.rounds)
    scope = (plan.seed, job.site, job.round)
    descent = optimiser(plan.optimiser, model.parameters(), rate, plan.weight_decay)
    folder = _state_folder(job)
    positives = int(setting.patients.labels[rows].sum())
    return LocalRound(
        model=model,
        loss=loss,
        optimiser=descent,
        batches=_Batches(
            setting.patients,
            rows,
            plan.batch_size,
            plan.local_epochs,
            generator(*scope, "order"),
            generator(*scope, "augment"),
            progress,
        ),
        flatten=lambda: flatten(state_of(model)),
        split=lambda flat: split_flat(model, flat),
        arrays=unpack_all(job.arrays),
        epochs=plan.local_epochs,
        rate=rate,
        round=job.round,
        counts=(len(rows) - positives, positives),
        state=folder,
        store=lambda name, data: write_private(folder / name, data),
        set_rate=lambda value: setattr(descent, "rate", value),
        share=job.share,
        sites=job.sites,
    )


def _state_folder(job: Job) -> Path:
    """Return the folder for what a strategy keeps at the site during one run."""
    name = sha256_hex(canonical(job.plan) + job.run.encode())[:32]
    folder = Path(job.work) / "state" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _trained_on(job: Job, plan: TrainingPlan, setting: Setting) -> NDArray[np.int64]:
    """Return the training patients with a known outcome.

    Raises
    ------
    DatasetError
        There is none.
    """
    rows = setting.patients.labelled(job.split.get("train", ()))
    if not rows.size:
        target = ", ".join(map(repr, plan.outcome))
        problem = f"no training patient has a label {target}"
        raise nobody(problem, job.threshold)
    return rows


def _watched(job: Job, plan: TrainingPlan, setting: Setting) -> NDArray[np.int64]:
    """Return the validation patients of a round; none if validation is not due."""
    due = plan.validate_every and job.round % plan.validate_every == 0
    return setting.patients.labelled(job.split.get("validation", ()) if due else ())


def _validate(
    plan: TrainingPlan,
    setting: Setting,
    rows: NDArray[np.int64],
    criterion: Criterion,
) -> list[float]:
    """Return sums over the validation patients; zeros where there are none."""
    if not rows.size:
        return [0.0] * 5
    _, logits = predict(setting, rows, plan.batch_size, lambda _: None)
    pairs = pair_counts(*outcome_of(setting.patients, plan, rows), logits)
    if plan.survival is None:
        losses = float(log_losses(setting.patients.labels[rows], logits).sum())
    else:
        losses = len(rows) * mean_loss(criterion, logits, rows)
    counts = [float(n) for n in (pairs.concordant, pairs.tied, pairs.comparable)]
    return [float(len(rows)), losses, *counts]

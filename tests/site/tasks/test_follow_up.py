"""Survival targets through the worker's tasks, one site's and several sites' parts."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch

from fednb.errors import DatasetError, FitError, InputError
from fednb.models.build import build
from fednb.models.weights import flatten, load_flat, state_of
from fednb.records.arrays import pack, unpack, unpack_all
from fednb.records.datasets import Column
from fednb.records.outcomes import Survival
from fednb.records.tasks import EvaluationPlan, ModelRef
from fednb.site.tasks.evaluate import evaluate
from fednb.site.tasks.train import train
from fednb.survival.concordance import concordance_counts
from fednb.survival.deepcox import HazardSums, merge_codes

if TYPE_CHECKING:
    from task_fixtures import Hospital

    from fednb.records.tasks import TrainingPlan

MONTHS = (3.0, 6.0, 9.0, 12.0, 24.0)
DEEP = Survival("os", "death", intervals=MONTHS)
RNG = np.random.default_rng(3)
OS = np.round(RNG.uniform(0.5, 20.0, 16), 1)
DEATH = (RNG.random(16) < 0.7).astype(int)
DEATH[:3] = (1, 0, 1)


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def change(plan: TrainingPlan, **fields: object) -> TrainingPlan:
    return msgspec.structs.replace(plan, **fields)


@pytest.fixture
def clinic(hospital: Hospital) -> Hospital:
    """The hospital with follow-up; the last patient's is unknown."""
    return with_times(hospital, OS.tolist())


def with_times(hospital: Hospital, times: list[float]) -> Hospital:
    path = hospital.folder / "clinical.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["os"] = "" if i == 15 else str(times[i])
        row["death"] = str(DEATH[i])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    columns = (
        *hospital.manifest.columns,
        Column("os", "number", "months", lower=0.0, upper=24.0, step=3.0),
        Column("death", "binary"),
    )
    manifest = msgspec.structs.replace(hospital.manifest, columns=columns)
    return type(hospital)(hospital.folder, manifest)


@pytest.fixture
def deep(plan: TrainingPlan) -> TrainingPlan:
    return change(plan, target=DEEP, optimiser="sgd", weight_decay=0.0, batch_size=16)


def arrays_of(plan: TrainingPlan, *totals: np.ndarray) -> dict:
    weights = flatten(state_of(build(plan.network, 2, 0, 0)))
    found = {"weights": pack(weights)}
    if totals:
        found["baseline"] = pack(np.sum(totals, axis=0))
    return found


def outputs(clinic: Hospital, plan: TrainingPlan, rows: range) -> torch.Tensor:
    """Return the network's output from the volumes that the tasks left in the cache."""
    (cache,) = (clinic.folder / "work" / "cache").iterdir()
    parts = [
        np.fromfile(cache / f"{row:06d}.bin", np.float16, 2 * 10**3) for row in rows
    ]
    images = np.stack(parts).reshape(-1, 2, 10, 10, 10).astype(np.float32)
    net = build(plan.network, 2, 0, 0)
    return net, net(torch.from_numpy(images))[:, 0]


def codes_of(rows: range | tuple[int, ...], least: int) -> np.ndarray:
    codes = np.searchsorted(MONTHS, OS[list(rows)], side="left")
    return merge_codes(codes, least)


@pytest.mark.parametrize("least", [1, 3, 10])
def test_the_first_half_returns_sums_over_merged_intervals(clinic, deep, least):
    seen = []
    job = clinic.job(deep, threshold=least, arrays=arrays_of(deep))
    result = train(job, lambda *counts: seen.append(counts))
    assert list(result.vectors) == ["baseline"]
    assert (result.patients, seen[-1]) == (8, (8, 8))
    found = HazardSums.from_vector(unpack(result.vectors["baseline"]))
    _, eta = outputs(clinic, deep, range(8))
    codes = codes_of(range(8), least)
    expected = HazardSums.of(eta.detach().numpy(), codes, DEATH[:8], len(MONTHS))
    assert np.allclose(found.to_vector(), expected.to_vector(), rtol=1e-5)
    exits = -np.diff(np.append(found.at_risk, 0.0))
    assert np.count_nonzero(exits > 1e-9) <= 8 // min(least, 8)


def test_sites_together_take_the_step_of_the_pooled_likelihood(clinic, deep):
    """Two sites of unequal size, with shares that are not their shares of patients."""
    deep = change(deep, learning_rate=5.0, schedule="constant", validate_every=0)
    parts, shares = (tuple(range(5)), tuple(range(5, 12))), (0.3, 0.7)

    def jobs(**more):
        for rows, share in zip(parts, shares, strict=True):
            split = {"train": rows}
            yield clinic.job(deep, split=split, share=share, threshold=1, **more)

    sums = [
        unpack(train(job, ignore).vectors["baseline"])
        for job in jobs(arrays=arrays_of(deep))
    ]
    results = [
        unpack_all(train(job, ignore).vectors)
        for job in jobs(arrays=arrays_of(deep, *sums))
    ]
    found = sum(s * r["update"] for s, r in zip(shares, results, strict=True))
    net, eta = outputs(clinic, deep, range(12))
    codes, event = codes_of(range(12), 1), DEATH[:12]
    loss = 0.0
    for code in np.unique(codes[event == 1]):
        dead = np.flatnonzero((codes == code) & (event == 1))
        at_risk = torch.exp(eta[np.flatnonzero(codes >= code)]).sum()
        dying = torch.exp(eta[dead]).sum()
        for draw in range(dead.size):
            loss = loss + torch.log(at_risk - draw / dead.size * dying)
        loss = loss - eta[dead].sum()
    (loss / event.sum()).backward()
    grads = {name: p.grad for name, p in net.named_parameters()}
    expected = -5.0 * flatten(grads)
    assert np.abs(expected).max() > 0.01
    assert np.abs(found - expected).max() < 1e-5
    total = sum(r["metrics"][1] for r in results)
    assert total == pytest.approx(loss.item(), rel=1e-4)


def test_the_second_half_validates_by_pairs_of_survival_times(clinic, deep):
    first = train(clinic.job(deep, threshold=1, arrays=arrays_of(deep)), ignore)
    sums = unpack(first.vectors["baseline"])
    job = clinic.job(deep, threshold=1, arrays=arrays_of(deep, sums))
    metrics = unpack(train(job, ignore).vectors["metrics"])
    # the last validation patient has no time of follow-up
    _, eta = outputs(clinic, deep, range(8, 15))
    pairs = concordance_counts(OS[8:15], DEATH[8:15], eta.detach().numpy())
    assert metrics[[0, 2]].tolist() == [8, 7]
    assert metrics[4:].tolist() == [pairs.concordant, pairs.tied, pairs.comparable]
    assert np.isfinite(metrics).all()
    other = clinic.job(EvaluationPlan(ModelRef("0" * 64, deep), "validation"))
    evaluated = unpack(evaluate(other, ignore).vectors["metrics"])
    assert evaluated[3:6].tolist() == metrics[4:].tolist()
    assert evaluated[[0, 1, 2, 6]].tolist() == [7, 0, 0, DEATH[8:15].sum()]


@pytest.mark.parametrize("loss", ["partial-likelihood", "discrete-time"])
def test_other_losses_train_in_one_half(clinic, plan, loss):
    intervals = MONTHS if loss == "discrete-time" else ()
    target = Survival("os", "death", loss=loss, intervals=intervals)
    plan = change(plan, target=target)
    weights = flatten(state_of(build(plan.network, 2, 0, 0)))
    job = clinic.job(plan, arrays={"weights": pack(weights)}, threshold=2)
    vectors = unpack_all(train(job, ignore).vectors)
    assert sorted(vectors) == ["metrics", "update"]
    assert vectors["update"].shape == weights.shape
    net = build(plan.network, 2, 0, 0)
    load_flat(net, np.abs(vectors["update"]))
    if loss == "discrete-time":
        assert net.baseline is not None
        assert net.baseline.min() > 0
    assert all(p.abs().max() > 0 for p in net.parameters())


def test_what_cannot_be_trained_says_so(clinic, hospital, deep):
    nobody = arrays_of(deep, np.ones(15) * [1.0] * 15)
    nobody["baseline"] = pack(np.concatenate([np.ones(10), np.zeros(5)]))
    with pytest.raises(FitError, match=r"^No training patient of any site dies"):
        train(clinic.job(deep, arrays=nobody), ignore)
    short = arrays_of(deep, np.ones(12))
    with pytest.raises(InputError, match=r"^The sums have 4 intervals; the plan has 5"):
        train(clinic.job(deep, arrays=short), ignore)
    lost = with_times(hospital, [-1.0, *OS[1:].tolist()])
    with pytest.raises(DatasetError) as error:
        train(lost.job(deep, arrays=arrays_of(deep)), ignore)
    assert "column 'os', row 1: a time of -1" in str(error.value) + error.value.detail

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from task_fixtures import Hospital
import torch

from fednb.errors import DatasetError, InputError, RunError, UnknownNameError
from fednb.models.build import build
from fednb.models.weights import flatten, state_of
from fednb.records.arrays import pack, unpack, unpack_all
from fednb.records.specs import StrategySpec
from fednb.records.tasks import EvaluationPlan, ModelRef, TrainingPlan
from fednb.site.tasks.evaluate import evaluate
from fednb.site.tasks.job import InitialiseJob
from fednb.site.tasks.train import initialise, learning_rate, train
from fednb.strategies import CyclicWeightTransfer, FedAvg, FedProx

if TYPE_CHECKING:
    from pathlib import Path


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def change(plan: TrainingPlan, **fields: object) -> TrainingPlan:
    return msgspec.structs.replace(plan, **fields)


def test_a_round_returns_an_update_and_sums(hospital: Hospital, plan: TrainingPlan):
    seen = []
    result = train(hospital.job(plan), lambda done, total: seen.append((done, total)))
    vectors = unpack_all(result.vectors)
    assert sorted(vectors) == ["metrics", "update"]
    assert vectors["update"].dtype == np.float32
    assert np.abs(vectors["update"]).max() > 0
    n, loss, n_val, loss_val, *pairs = vectors["metrics"]
    # who only validates does not make few who are trained on many
    assert (n, n_val, result.patients) == (8, 7, 8)
    assert 0.1 < loss / n < 2.0
    assert 0.1 < loss_val / n_val < 2.0
    assert pairs[2] == 4 * 3
    assert seen == [(1, 2), (2, 2)]


def test_validation_is_of_the_incoming_weights(hospital: Hospital, plan: TrainingPlan):
    trained = unpack(train(hospital.job(plan), ignore).vectors["metrics"])
    other = EvaluationPlan(ModelRef("0" * 64, plan), "validation")
    metrics = unpack(evaluate(hospital.job(other), ignore).vectors["metrics"])
    assert np.array_equal(trained[2:4], metrics[:2])
    assert np.array_equal(trained[4:7], metrics[3:6])


def test_validation_comes_when_it_is_due(hospital: Hospital, plan: TrainingPlan):
    every_other = change(plan, validate_every=2)
    for plan_, round_, expected in (
        (every_other, 1, 0),
        (every_other, 2, 7),
        (change(plan, validate_every=0), 0, 0),
    ):
        result = train(hospital.job(plan_, round=round_), ignore)
        metrics = unpack(result.vectors["metrics"])
        assert metrics[2] == expected
        assert result.patients == 8


def test_one_full_batch_step_equals_a_plain_torch_step(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    plan = change(
        plan, optimiser="sgd", batch_size=8, learning_rate=0.1, weight_decay=0.0
    )
    result = train(hospital.job(plan), ignore)
    images = read_volumes(hospital.folder, range(8))
    net = build(plan.network, 2, 0, 0)
    labels = torch.tensor([float(i % 2) for i in range(8)])
    logits = net(images)[:, 0]
    torch.nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()
    grads = {name: p.grad for name, p in net.named_parameters()}
    update = unpack(result.vectors["update"])
    assert np.allclose(update, -0.1 * flatten(grads), atol=2e-5)


def read_volumes(folder: Path, rows: range) -> torch.Tensor:
    """Read the fixed transforms' result from the cache that the task left."""
    (cache,) = (folder / "work" / "cache").iterdir()
    parts = [
        np.fromfile(cache / f"{row:06d}.bin", np.float16, 2 * 10**3) for row in rows
    ]
    images = np.stack(parts).reshape(-1, 2, 10, 10, 10)
    return torch.from_numpy(images.astype(np.float32))


def test_sites_together_take_the_central_step(hospital: Hospital, plan: TrainingPlan):
    plan = change(plan, optimiser="sgd", batch_size=8, weight_decay=0.0)
    plan = change(plan, learning_rate=1.0)
    first, second, union = (
        unpack(
            train(hospital.job(plan, split={"train": rows}), ignore).vectors["update"]
        )
        for rows in ((0, 1, 2), (3, 4, 5, 6, 7), tuple(range(8)))
    )
    mean = 3 / 8 * first + 5 / 8 * second
    assert np.abs(union).max() > 0.01
    assert np.allclose(mean, union, atol=1e-6)


def test_fedprox_without_pull_is_fedavg(hospital: Hospital, plan: TrainingPlan):
    updates = [
        unpack(
            train(hospital.job(change(plan, strategy=s.spec())), ignore).vectors[
                "update"
            ]
        )
        for s in (FedAvg(), FedProx(mu=0.0), FedProx(mu=5.0))
    ]
    assert np.array_equal(updates[0], updates[1])
    assert not np.array_equal(updates[0], updates[2])


def test_two_epochs_are_two_epochs(hospital: Hospital, plan: TrainingPlan):
    seen = []
    train(
        hospital.job(change(plan, local_epochs=2, batch_size=3)),
        lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (6, 6)


def test_a_relay_returns_weights(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    spec = CyclicWeightTransfer(
        iterations=2, plti=True, clr=True, lwms=True, cwl=True
    ).spec()
    job = hospital.job(change(plan, strategy=spec), share=0.75, sites=4)
    seen = []
    result = train(job, lambda *counts: seen.append(counts))
    assert sorted(result.vectors) == ["metrics", "weights"]
    assert unpack(result.vectors["weights"]).shape == weights().shape
    assert len(seen) == 6


def test_covariates_join_inside(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    joint = change(plan, covariates=("age",))
    arrays = {"weights": pack(weights(covariates=1))}
    result = train(hospital.job(joint, arrays=arrays), ignore)
    assert unpack(result.vectors["update"]).size == weights().size + 1


def test_initial_weights_are_the_seed_s(plan: TrainingPlan):
    one = initialise(InitialiseJob("i", plan.network, 2, 0, 3))
    net = build(plan.network, 2, 0, 3)
    assert np.array_equal(unpack(one.vectors["weights"]), flatten(state_of(net)))


def test_the_learning_rate_follows_its_schedule(plan: TrainingPlan):
    rates = [learning_rate(change(plan, learning_rate=1.0), t, 4) for t in range(4)]
    assert rates == pytest.approx([1.0, 0.853553, 0.5, 0.146447], abs=1e-6)
    constant = change(plan, schedule="constant", learning_rate=0.3)
    assert learning_rate(constant, 3, 4) == 0.3


def test_what_is_unknown_is_named(hospital: Hospital, plan: TrainingPlan):
    cases = [
        (change(plan, target="idhh"), "Unknown column 'idhh'. Did you mean 'idh'"),
        (change(plan, strategy=StrategySpec("fedavgg")), "Did you mean 'fedavg'"),
        (change(plan, model="small-cnn"), "Did you mean 'small-cnn-3d'"),
    ]
    for wrong, message in cases:
        with pytest.raises(UnknownNameError, match=message):
            train(hospital.job(wrong), ignore)


def test_wrong_calls_are_refused(hospital: Hospital, plan: TrainingPlan):
    with pytest.raises(InputError, match="The call has no weights"):
        train(hospital.job(plan, arrays={}), ignore)
    short = {"weights": pack(np.zeros(3, dtype=np.float32))}
    with pytest.raises(InputError, match=r"weights; an array of shape \(3,\)"):
        train(hospital.job(plan, arrays=short), ignore)
    with pytest.raises(InputError, match="needs sgd; got 'adamw'"):
        train(hospital.job(change(plan, strategy=StrategySpec("scaffold"))), ignore)
    other = EvaluationPlan(ModelRef("0" * 64, plan))
    with pytest.raises(InputError, match="train runs a TrainingPlan"):
        train(hospital.job(other), ignore)


def test_a_site_without_labels_is_refused(hospital: Hospital, plan: TrainingPlan):
    with pytest.raises(DatasetError, match="no training patient has a label 'idh'"):
        train(hospital.job(plan, split={"train": (15,)}), ignore)


def test_divergence_is_an_error(hospital: Hospital, plan: TrainingPlan):
    wild = change(plan, optimiser="sgd", learning_rate=9.0, weight_decay=1e30)
    with pytest.raises(RunError, match="The update of round 0 is not finite"):
        train(hospital.job(change(wild, batch_size=1)), ignore)


def test_cuda_is_not_replaced_in_silence(
    hospital: Hospital, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="this site has none"):
        train(hospital.job(change(plan, device="cuda")), ignore)


def test_scaffold_keeps_its_state_at_the_site(hospital: Hospital, plan: TrainingPlan):
    plan = change(plan, strategy=StrategySpec("scaffold"), optimiser="sgd")
    job = hospital.job(plan, run="run-1")
    zeros = pack(np.zeros(unpack(job.arrays["weights"]).size, dtype=np.float32))
    arrays = job.arrays | {"control": zeros}
    first = train(msgspec.structs.replace(job, arrays=arrays), ignore)
    second = msgspec.structs.replace(job, arrays=arrays, round=1)
    one, two = (unpack_all(train(second, ignore).vectors) for _ in range(2))
    assert np.array_equal(one["update"], two["update"])
    assert np.array_equal(one["control"], two["control"])
    assert sorted(first.vectors) == ["control", "metrics", "update"]
    (folder,) = (hospital.folder / "work" / "state").iterdir()
    modes = {p.stat().st_mode & 0o777 for p in folder.iterdir()}
    assert (folder.stat().st_mode & 0o777, modes) == (0o700, {0o600})

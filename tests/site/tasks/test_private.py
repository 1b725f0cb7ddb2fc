"""Training under differential privacy, against one patient's gradient at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fednb.errors import InputError
from fednb.models.build import build
from fednb.models.weights import flatten, load_flat, state_of
from fednb.privacy.dp import settle_dp
from fednb.records.arrays import pack, unpack, unpack_all
from fednb.records.dp import DP
from fednb.records.specs import StrategySpec
from fednb.site.tasks.private import check_network
from fednb.site.tasks.secret import SecretStream
from fednb.site.tasks.train import train
from fednb.strategies import STRATEGIES, CyclicWeightTransfer, FedProx

if TYPE_CHECKING:
    from collections.abc import Callable

    from task_fixtures import Hospital

    from fednb.records.tasks import TrainingPlan

SECRET = bytes(range(32))
CLIP = 0.4


def ignore(done: int, total: int) -> None:
    """Take progress, and do nothing with it."""


def private(plan: TrainingPlan, **fields: object) -> TrainingPlan:
    """Return a plan of plain steps on everybody, settled for 8 training patients."""
    given = {"noise_multiplier": 1e-6, "max_grad_norm": CLIP, "sampling_rate": 1.0}
    dp = DP(**{**given, "steps": 1, "patients": 8.0, "epsilon": 1.0, **fields})
    return msgspec.structs.replace(
        plan, dp=dp, optimiser="sgd", learning_rate=0.1, weight_decay=0.0
    )


def run(hospital: Hospital, plan: TrainingPlan, **changes: object) -> np.ndarray:
    given = {"secret": SECRET, **changes}
    return unpack(train(hospital.job(plan, **given), ignore).vectors["update"])


def one_by_one(hospital: Hospital, rows: range, weights: np.ndarray) -> np.ndarray:
    """Return each patient's gradient, shape (n, P), by plain back-propagation."""
    (cache,) = (hospital.folder / "work" / "cache").iterdir()
    net = build(hospital_network(), 2, 0, 0)
    load_flat(net, weights)
    found = []
    for row in rows:
        raw = np.fromfile(cache / f"{row:06d}.bin", np.float16, 2 * 10**3)
        image = torch.from_numpy(raw.astype(np.float32).reshape(1, 2, 10, 10, 10))
        net.zero_grad()
        label = torch.tensor([float(row % 2)])
        binary_cross_entropy_with_logits(net(image)[:, 0], label).backward()
        found.append(flatten({n: p.grad for n, p in net.named_parameters()}))
    return np.stack(found)


def hospital_network():
    from task_fixtures import NETWORK

    return NETWORK


def test_a_step_is_the_sum_of_clipped_gradients(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    update = run(hospital, private(plan))
    each = one_by_one(hospital, range(8), weights())
    norms = np.linalg.norm(each, axis=1)
    assert norms.min() < CLIP * 3
    assert norms.max() > CLIP
    clipped = each * np.minimum(1, CLIP / norms)[:, None]
    assert update == pytest.approx(-0.1 * clipped.sum(axis=0) / 8, abs=2e-6)


def test_no_patient_moves_the_sum_further_than_the_clipping_norm(
    hospital: Hospital, plan: TrainingPlan
):
    everybody = run(hospital, private(plan))
    for missing in range(8):
        rows = tuple(r for r in range(8) if r != missing)
        split = {"train": rows, "validation": ()}
        moved = run(hospital, private(plan), split=split) - everybody
        # a sum of rate / expected number times a clipped gradient
        assert np.linalg.norm(moved) <= 0.1 / 8 * CLIP * 1.001


def test_noise_is_the_site_s_own_and_as_large_as_the_contract_says(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    quiet = run(hospital, private(plan))
    noisy = run(hospital, private(plan, noise_multiplier=5.0))
    noise = (quiet - noisy) * 8 / 0.1 / (5.0 * CLIP)
    assert noise.std() == pytest.approx(1.0, abs=0.1)
    other = run(hospital, private(plan, noise_multiplier=5.0), secret=bytes(32))
    assert abs(np.corrcoef(quiet - noisy, quiet - other)[0, 1]) < 0.15


def test_a_round_asked_again_answers_the_same_and_other_weights_other_noise(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    wanted = private(plan, noise_multiplier=3.0)
    assert np.array_equal(run(hospital, wanted), run(hospital, wanted))
    near = weights() + np.float32(1e-6)
    other = run(hospital, wanted, arrays={"weights": pack(near)})
    gap = other - run(hospital, wanted)
    assert gap.std() > 0.1 / 8 * 3.0 * CLIP


def test_a_contract_s_seed_tells_nothing_of_the_noise(
    hospital: Hospital, plan: TrainingPlan
):
    wanted = private(plan, noise_multiplier=3.0)
    same = run(hospital, msgspec.structs.replace(wanted, seed=99))
    # without dropout and augmentation the seed has no part in anything
    assert np.array_equal(same, run(hospital, wanted))


def test_patients_are_drawn_by_coins_of_the_site(
    hospital: Hospital, plan: TrainingPlan
):
    coins = SecretStream(SECRET, "coins", "x").uniform(8000) < 0.25
    assert coins.mean() == pytest.approx(0.25, abs=0.02)
    seen = []
    wanted = private(plan, sampling_rate=0.25, steps=6)
    job = hospital.job(wanted, secret=SECRET)
    train(job, lambda done, total: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]


def test_a_step_that_draws_nobody_is_noise_alone(
    hospital: Hospital, plan: TrainingPlan
):
    wanted = private(plan, sampling_rate=1e-6, noise_multiplier=1.0)
    update = run(hospital, wanted)
    assert update.std() == pytest.approx(0.1 * CLIP / (1e-6 * 8), rel=0.1)


def test_of_those_trained_on_only_the_noisy_sum_is_told(
    hospital: Hospital, plan: TrainingPlan
):
    job = hospital.job(private(plan, noise_multiplier=1.0), secret=SECRET)
    n, loss, n_validation, *_ = unpack(train(job, ignore).vectors["metrics"])
    assert (n, loss) == (0.0, 0.0)
    assert n_validation == 7


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_runs_and_answers_the_same_again(
    hospital: Hospital, plan: TrainingPlan, weights: Callable, name: str
):
    wanted = private(plan, noise_multiplier=2.0, sampling_rate=0.5, steps=3)
    wanted = msgspec.structs.replace(wanted, strategy=StrategySpec(name))
    arrays = {"weights": pack(weights()), "control": pack(0 * weights())}
    found = [
        unpack_all(
            train(hospital.job(wanted, arrays=arrays, secret=SECRET), ignore).vectors
        )
        for _ in range(2)
    ]
    assert found[0].keys() == found[1].keys()
    for vector in found[0]:
        assert np.array_equal(found[0][vector], found[1][vector])
    if name == "fednova":
        assert found[0]["steps"][0] == 3


def test_adamw_covariates_and_a_pull_go_with_it(
    hospital: Hospital, plan: TrainingPlan, weights: Callable
):
    wanted = msgspec.structs.replace(
        private(plan, noise_multiplier=1.0, sampling_rate=0.5, steps=2),
        optimiser="adamw",
        covariates=("age",),
        strategy=FedProx(mu=1.0).spec(),
    )
    arrays = {"weights": pack(weights(covariates=1))}
    assert np.isfinite(run(hospital, wanted, arrays=arrays)).all()


def test_switches_that_look_at_labels_are_refused(
    hospital: Hospital, plan: TrainingPlan
):
    spec = CyclicWeightTransfer(iterations=2, lwms=True).spec()
    wanted = msgspec.structs.replace(private(plan), strategy=spec)
    switched = CyclicWeightTransfer(iterations=2, lwms=True)
    with pytest.raises(InputError, match="cannot use iterations, lwms under"):
        switched.check_private()
    with pytest.raises(InputError, match="a step draws every patient alike"):
        run(hospital, wanted)
    weighted = CyclicWeightTransfer(cwl=True).spec()
    with pytest.raises(InputError, match="cannot be weighed by label"):
        run(hospital, msgspec.structs.replace(wanted, strategy=weighted))


def test_without_a_secret_or_a_settled_plan_nothing_runs(
    hospital: Hospital, plan: TrainingPlan
):
    with pytest.raises(InputError, match="needs a secret of 16 bytes"):
        run(hospital, private(plan), secret=b"short")
    open_ = msgspec.structs.replace(plan, dp=DP(epsilon=8))
    with pytest.raises(InputError, match="needs settled differential privacy"):
        run(hospital, open_)
    assert settle_dp(open_, (16, 16)).dp.settled


def test_a_network_that_mixes_patients_is_refused():
    net = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    with pytest.raises(InputError, match="BatchNorm3d in 1 mixes patients"):
        check_network(net)
    plain = build(hospital_network(), 2, 0, 0)
    check_network(plain)
    assert flatten(state_of(plain)).size

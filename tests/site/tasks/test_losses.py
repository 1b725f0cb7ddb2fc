"""Losses against autograd of the pooled partial likelihood, written out in loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fednb.errors import InputError
from fednb.models.optimise import optimiser
from fednb.models.weights import flatten, load_flat, split_flat, state_of
from fednb.privacy.secure_sum import totals
from fednb.site.tasks.losses import (
    CrossEntropy,
    DiscreteTime,
    ExactProfile,
    PartialLikelihood,
    check_separable,
)
from fednb.strategies import FedAvg, Scaffold
from fednb.strategies.base import LocalRound
from fednb.survival.coxph import fit
from fednb.survival.deepcox import Baseline, HazardSums
from fednb.survival.newton import NewtonOptions
from fednb.survival.riskset import RiskSets

J = 7


class World:
    """Three sites of unlike patients, and a network in float64."""

    def __init__(self, seed: int = 0, n: int = 150) -> None:
        rng = np.random.default_rng(seed)
        self.site = rng.choice(3, n, p=[0.5, 0.3, 0.2])
        self.x = rng.normal(size=(n, 3)) + 0.8 * self.site[:, None]
        risk = self.x @ np.array([0.7, -0.5, 0.3])
        times = rng.exponential(4.0 * np.exp(-risk + risk.mean()))
        self.codes = np.minimum(times, J - 1).astype(np.intp)
        self.event = (rng.random(n) < 0.7).astype(float)
        torch.manual_seed(seed)
        self.net = torch.nn.Sequential(
            torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
        ).double()

    @property
    def rows(self) -> list[np.ndarray]:
        return [np.flatnonzero(self.site == k) for k in range(3)]

    def eta(self, rows: np.ndarray) -> torch.Tensor:
        return self.net(torch.from_numpy(self.x[rows]))[:, 0]

    def sums(self, *, masked: bool = False) -> HazardSums:
        parts = [
            HazardSums.of(
                self.eta(rows).detach().numpy(), self.codes[rows], self.event[rows], J
            ).to_vector()
            for rows in self.rows
        ]
        if masked:
            ring = totals(3)
            parts = [ring.decode(ring.encode(part)) for part in parts]
        return HazardSums.from_vector(np.sum(parts, axis=0))

    def gradient(self, value: torch.Tensor) -> np.ndarray:
        grads = torch.autograd.grad(value, list(self.net.parameters()))
        return torch.cat([g.reshape(-1) for g in grads]).numpy()


def pooled_likelihood(
    eta: torch.Tensor, time: np.ndarray, event: np.ndarray, ties: str
) -> torch.Tensor:
    """The log partial likelihood, one draw of one death time at a time."""
    total = torch.zeros((), dtype=eta.dtype)
    for t in np.unique(time[event == 1]):
        dead = np.flatnonzero((event == 1) & (time == t))
        at_risk = torch.exp(eta[np.flatnonzero(time >= t)]).sum()
        dying = torch.exp(eta[dead]).sum()
        for draw in range(dead.size):
            f = draw / dead.size if ties == "efron" else 0.0
            total = total - torch.log(at_risk - f * dying)
        total = total + eta[dead].sum()
    return total


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_the_pooled_partial_likelihood(seed, masked, ties):
    world = World(seed)
    every = np.arange(world.site.size)
    likelihood = pooled_likelihood(world.eta(every), world.codes, world.event, ties)
    expected = world.gradient(-likelihood)
    baseline = Baseline.of(world.sums(masked=masked), ties)
    # sites of a size that the contract's shares have wrong, and in batches
    shares = [0.25, 0.35, 0.4]
    found = np.zeros_like(expected)
    for share, rows in zip(shares, world.rows, strict=True):
        loss = ExactProfile.of_site(
            baseline, world.codes, world.event, patients=rows.size, share=share
        )
        halves = np.array_split(rows, 2)
        mean = sum(h.size / rows.size * loss(world.eta(h), h) for h in halves)
        found += share * world.gradient(mean * loss.scale)
    assert np.abs(expected).max() > 1
    assert np.abs(found * baseline.deaths - expected).max() < (
        1e-6 if masked else 1e-10
    )


def test_the_losses_of_all_patients_add_up_to_the_likelihood():
    world = World()
    every = np.arange(world.site.size)
    baseline = Baseline.of(world.sums())
    loss = ExactProfile.of_site(
        baseline, world.codes, world.event, patients=every.size, share=1.0
    )
    total = every.size * loss(world.eta(every), every)
    likelihood = pooled_likelihood(world.eta(every), world.codes, world.event, "efron")
    assert total.item() == pytest.approx(-likelihood.item(), abs=1e-9)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_partial_likelihood_of_a_site(ties):
    world = World()
    rows = world.rows[0][::-1].copy()
    loss = PartialLikelihood(world.codes.astype(float), world.event, ties)
    expected = -pooled_likelihood(
        world.eta(rows), world.codes[rows], world.event[rows], ties
    )
    value = loss(world.eta(rows), rows)
    assert value.item() * rows.size == pytest.approx(expected.item(), abs=1e-9)
    difference = world.gradient(value) * rows.size - world.gradient(expected)
    assert np.abs(difference).max() < 1e-10
    assert loss.scale == 1.0
    doubled = loss(world.eta(rows), rows, (1.0, 2.0))
    assert doubled.item() == pytest.approx(2 * value.item())


def test_sites_weighted_by_patients_are_weighted_by_deaths():
    world = World()
    n = world.site.size
    loss = PartialLikelihood(world.codes.astype(float), world.event)
    mean = sum(r.size / n * loss(world.eta(r), r) for r in world.rows)
    stratified = sum(
        -pooled_likelihood(world.eta(r), world.codes[r], world.event[r], "efron")
        for r in world.rows
    )
    assert mean.item() == pytest.approx(stratified.item() / n, abs=1e-12)


def test_a_batch_without_a_death_has_no_gradient():
    world = World()
    rows = np.flatnonzero(world.event == 0)[:4]
    value = PartialLikelihood(world.codes.astype(float), world.event)(
        world.eta(rows), rows
    )
    assert value.item() == 0.0
    assert not world.gradient(value).any()


def test_partial_likelihood_of_large_log_hazards_is_finite():
    time, event = np.arange(4.0), np.ones(4)
    eta = torch.tensor([300.0, -300.0, 300.0, 0.0], requires_grad=True)
    value = PartialLikelihood(time, event)(eta, np.arange(4))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(eta.grad).all()


def test_discrete_time_is_the_likelihood_of_interval_deaths():
    world = World()
    rows = world.rows[1]
    alpha = torch.linspace(-2.0, 0.5, J, dtype=torch.float64, requires_grad=True)
    loss = DiscreteTime(alpha, world.codes, world.event)
    eta = world.eta(rows)
    again = world.eta(rows)
    expected = 0.0
    for place, row in enumerate(rows):
        hazard = 1 - torch.exp(-torch.exp(alpha + again[place]))
        code = world.codes[row]
        lived = code + 1 - int(world.event[row])
        expected = expected - torch.log(1 - hazard[:lived]).sum()
        if world.event[row]:
            expected = expected - torch.log(hazard[code])
    value = loss(eta, rows)
    assert value.item() * rows.size == pytest.approx(expected.item(), abs=1e-9)
    leaves = [alpha, *world.net.parameters()]
    found = torch.autograd.grad(value * rows.size, leaves)
    for mine, wanted in zip(found, torch.autograd.grad(expected, leaves), strict=True):
        assert torch.allclose(mine, wanted, atol=1e-9)


def test_cross_entropy_and_class_weights():
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    eta = torch.tensor([0.3, -0.2], dtype=torch.float64)
    rows = np.array([1, 3])
    plain = [np.log1p(np.exp(-0.3)), np.log1p(np.exp(-0.2))]
    loss = CrossEntropy(labels)
    assert loss(eta, rows).item() == pytest.approx(np.mean(plain))
    weighted = loss(eta, rows, (3.0, 5.0)).item()
    assert weighted == pytest.approx((5 * plain[0] + 3 * plain[1]) / 2)
    poisson = ExactProfile(np.ones(4), labels)
    ones = [np.exp(0.3) - 0.3, np.exp(-0.2)]
    weighted = poisson(eta, rows, (3.0, 5.0)).item()
    assert weighted == pytest.approx((5 * ones[0] + 3 * ones[1]) / 2)


def test_batch_norm_is_refused():
    norm = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    with pytest.raises(InputError) as error:
        check_separable(norm)
    assert str(error.value) == (
        "Layer '1' of the network is a BatchNorm3d. Deep Cox needs a log-hazard that "
        "does not depend on the batch: use group normalisation, or "
        "loss='partial-likelihood'."
    )
    check_separable(torch.nn.Sequential(torch.nn.GroupNorm(1, 2)))


class Linear:
    """A linear Cox model, trained in rounds by a strategy with full batches."""

    def __init__(self, world: World, state) -> None:
        self.world = world
        self.net = torch.nn.Linear(3, 1, bias=False)
        self.folder = state
        self.shares = [0.25, 0.35, 0.4]

    def eta(self, rows: np.ndarray) -> torch.Tensor:
        return self.net(torch.from_numpy(self.world.x[rows]).float())[:, 0]

    def baseline(self) -> Baseline:
        with torch.no_grad():
            eta = self.eta(np.arange(self.world.site.size)).numpy()
        return Baseline.of(HazardSums.of(eta, self.world.codes, self.world.event, J))

    def train(self, strategy, rounds: int, steps: int, rate: float) -> np.ndarray:
        state = strategy.initial(np.zeros(3, dtype=np.float32))
        for _ in range(rounds):
            arrays = strategy.broadcast(state)
            load_flat(self.net, arrays["weights"])
            baseline = self.baseline()
            parts = [
                strategy.local(self.round(k, arrays, baseline, steps, rate, state))
                for k in range(3)
            ]
            mean = {
                name: sum(s * p[name] for s, p in zip(self.shares, parts, strict=True))
                for name in parts[0]
            }
            state = strategy.aggregate(state, mean)
        return np.asarray(state.weights, dtype=np.float64)

    def round(self, k, arrays, baseline, steps, rate, state) -> LocalRound:
        load_flat(self.net, arrays["weights"])
        rows, share = self.world.rows[k], self.shares[k]
        loss = ExactProfile.of_site(
            baseline,
            self.world.codes,
            self.world.event,
            patients=rows.size,
            share=share,
        )
        folder = self.folder / str(k)
        folder.mkdir(exist_ok=True)
        descent = optimiser("sgd", self.net.parameters(), rate, 0.0)
        return LocalRound(
            model=self.net,
            loss=lambda batch, _: loss.scale * loss(self.eta(batch), batch),
            optimiser=descent,
            batches=lambda: [rows],
            flatten=lambda: flatten(state_of(self.net)),
            split=lambda flat: split_flat(self.net, flat),
            arrays=arrays,
            epochs=steps,
            rate=rate,
            round=state.round,
            counts=(1, 1),
            state=folder,
            store=lambda name, data: (folder / name).write_bytes(data),
            set_rate=lambda value: setattr(descent, "rate", value),
            share=share,
            sites=3,
        )


def test_one_local_step_finds_the_pooled_maximum_and_five_drift(tmp_path):
    world = World(5, n=240)
    pooled = RiskSets(world.x, world.codes, world.event)
    options = NewtonOptions(max_evaluations=30)
    best = fit([pooled], options=options).coefficients
    model = Linear(world, tmp_path)

    def distance(weights: np.ndarray) -> float:
        return float(np.linalg.norm(weights - best))

    one = distance(model.train(FedAvg(), 300, 1, 0.3))
    five = distance(model.train(FedAvg(), 120, 5, 0.3))
    corrected = distance(model.train(Scaffold(), 120, 5, 0.3))
    assert one < 1e-4
    assert five > 1e-3
    assert corrected < 1e-4

"""Training under differential privacy, from the plan to a budget that is spent."""

from __future__ import annotations

import math
import shutil

import msgspec
import pytest
from small_studies import SITES, TERMS, serve, small

from fednb.errors import RefusedError
from fednb.records.dp import DP
from fednb.site.budgets import budgets_of
from fednb.site.home import Home
from fednb.strategies import Scaffold

replace = msgspec.structs.replace


@pytest.fixture
def root(hospitals, tmp_path):
    """A copy of the hospitals that this test may serve, restart and re-govern."""
    return shutil.copytree(hospitals, tmp_path / "hospitals")


def spent(root) -> dict[str, float]:
    """Return what each site's dataset has cost, as its owner reads it."""
    found = {}
    for site in SITES:
        home = Home(root / site)
        totals = [b.epsilon for b in budgets_of(home, 1e-5) if not b.requester]
        home.close()
        found[site] = sum(totals)
    return found


def test_a_private_training_runs_costs_what_it_said_and_is_refused_when_spent(root):
    plan = small(dp=DP(epsilon=7, delta=1e-5), local_epochs=1)
    with serve(root) as fed:
        request = fed.request(plan, **TERMS)
        (settled,) = request.contract.steps
        promised = settled.dp.epsilon
        assert 6.9 < promised <= 7
        assert settled.dp.noise_multiplier > 0.5
        run = request.start()
        result = run.result()
        # of those trained on, only the noisy update is told
        assert math.isnan(result.rounds[-1].train_loss)
        assert result.rounds[0].validation_loss > 0
        costs = spent(root)
        assert all(c == pytest.approx(promised, abs=0.002) for c in costs.values())
        together, mine = fed.owner(SITES[0]).budgets
        assert mine.requester == request.contract.requester_key
        assert together.epsilon == mine.epsilon == costs[SITES[0]]
    with serve(root) as fed:
        assert spent(root) == costs
        # room for each training by itself, and not for both
        fed.owner(SITES[1]).policy.set(max_epsilon=7.5)
        again = fed.request(replace(plan, seed=1), **TERMS)
        with pytest.raises(RefusedError, match="refused") as refused:
            again.start().result()
        assert refused.value.cause == "limit"
        assert refused.value.site == SITES[1]
        entry = fed.owner(SITES[1]).ledger.find(refused.value.correlation)
        assert "has spent epsilon" in entry.reason
    assert spent(root)[SITES[1]] == costs[SITES[1]]


def test_two_sites_train_on_differential_privacy_alone(root):
    plan = small(1, dp=DP(noise_multiplier=2.0), validate_every=0)
    plan = replace(plan, strategy=Scaffold().spec(), optimiser="sgd")
    terms = {**TERMS, "profile": "standard", "sites": SITES[:2]}
    with serve(root) as fed:
        request = fed.request(plan, **terms)
        kinds = {o.name: o.kind for o in request.contract.outputs}
        assert kinds == {"update": "weights", "control": "weights", "metrics": "table"}
        assert not request.contract.privacy.secure_sum
        result = request.start().result()
        assert math.isnan(result.rounds[0].validation_loss)
        costs = spent(root)
        cost = request.contract.steps[0].dp.epsilon
        assert costs[SITES[0]] == costs[SITES[1]] == pytest.approx(cost, abs=0.002)
        assert costs[SITES[2]] == 0

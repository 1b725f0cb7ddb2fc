from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import Toy, flat, mean_of

from fednb.strategies import FedAvg, StrategyState


def test_one_step_by_hand():
    # w = 1, x = 2, y = 5: gradient x (w x - y) = -6, step .1
    work = Toy([[2.0]], [5.0]).round({"weights": flat(1.0)})
    assert FedAvg().local(work)["update"] == pytest.approx([0.6])


def test_the_mean_update_moves_the_weights():
    state = FedAvg().initial(flat(1.0, 2.0))
    after = FedAvg().aggregate(state, {"update": np.array([0.5, -1.0])})
    assert after.round == 1
    assert after.weights.tolist() == [1.5, 1.0]
    assert after.weights.dtype == np.float32
    assert state.weights.tolist() == [1.0, 2.0]


def test_the_state_does_not_share_memory_with_its_input():
    weights = flat(1.0)
    state = FedAvg().initial(weights)
    weights[0] = 9.0
    assert isinstance(state, StrategyState)
    assert FedAvg().broadcast(state)["weights"].tolist() == [1.0]


@given(st.integers(1, 5))
def test_identical_sites_equal_one_site(count: int):
    parts = [
        FedAvg().local(
            Toy([[1.0, 2.0]], [3.0]).round({"weights": flat(0.5, 0.5)}, epochs=3)
        )
        for _ in range(count)
    ]
    mean = mean_of(parts, [1 / count] * count)
    assert mean["update"] == pytest.approx(parts[0]["update"], rel=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_one_full_batch_step_equals_the_central_step(n: int, m: int, seed: int):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + m, 3)).astype("f4")
    y = rng.normal(size=n + m).astype("f4")
    start = {"weights": flat(0.1, -0.2, 0.3)}
    part = slice(None, n), slice(n, None)
    sites = [
        FedAvg().local(Toy(x[s].tolist(), y[s].tolist()).round(start)) for s in part
    ]
    central = FedAvg().local(Toy(x.tolist(), y.tolist()).round(start))
    mean = mean_of(sites, [n / (n + m), m / (n + m)])
    assert np.allclose(mean["update"], central["update"], atol=1e-5)


def test_all_sites_work_at_once_and_send_one_vector():
    assert FedAvg().visits(3, ["a", "b"]) == (("a", "b"),)
    assert FedAvg().vectors(7) == {"update": 7}
    assert not FedAvg.relay

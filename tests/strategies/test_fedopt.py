from __future__ import annotations

import numpy as np
import pytest
from toy import flat

from fednb.errors import InputError
from fednb.strategies import FedAdagrad, FedAdam, FedYogi

# Two rounds by hand with Delta = 1, then 2: b1 = .5, b2 = .75, tau = 1, rate = 1.
# m: .5, 1.25. v0 = 1. Adam v: 1, .75 + .25 * 4 = 1.75.
# Yogi v: 1 - 0 = 1, 1 - .25 * 4 * sign(1 - 4) = 2. Adagrad v: 2, 6.
VALUES = {"rate": 1.0, "beta1": 0.5, "beta2": 0.75, "tau": 1.0}


@pytest.mark.parametrize(
    ("kind", "second"),
    [(FedAdam, (1.0, 1.75)), (FedYogi, (1.0, 2.0)), (FedAdagrad, (2.0, 6.0))],
)
def test_two_rounds_by_hand(kind: type, second: tuple[float, float]):
    strategy = kind(**VALUES)
    state = strategy.initial(flat(0.0))
    expected = 0.0
    for delta, m, v in zip((1.0, 2.0), (0.5, 1.25), second, strict=True):
        state = strategy.aggregate(state, {"update": np.array([delta])})
        expected += m / (np.sqrt(v) + 1)
        assert state.weights[0] == pytest.approx(expected)
        assert state.extra["v"][0] == pytest.approx(v)
    assert state.round == 2
    assert {a.dtype for a in state.extra.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"tau": 0.0}, {"beta1": 1.0}])
def test_values_outside_their_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(InputError, match="A server optimiser needs rate > 0"):
        FedAdam(**wrong)

from __future__ import annotations

import numpy as np
import pytest
from toy import Toy, flat

from fednb.errors import InputError
from fednb.strategies import FedAvg, FedProx

START = {"weights": flat(1.0)}


def test_two_steps_by_hand():
    # gradient x (w x - y) + mu (w - 1): -6 at 1; at 1.6: 2 (3.2 - 5) + .5 * .6 = -3.3
    work = Toy([[2.0]], [5.0]).round(START, epochs=2)
    assert FedProx(mu=0.5).local(work)["update"] == pytest.approx([0.6 + 0.33])


def test_without_pull_it_is_fedavg_bit_for_bit():
    one, two = (
        strategy.local(Toy([[2.0]], [5.0]).round(START, epochs=5))["update"]
        for strategy in (FedAvg(), FedProx(mu=0.0))
    )
    assert np.array_equal(one, two)


def test_a_stronger_pull_stays_nearer():
    near, far = (
        FedProx(mu=mu).local(Toy([[2.0]], [5.0]).round(START, epochs=9))["update"]
        for mu in (5.0, 0.1)
    )
    assert 0 < near[0] < far[0]


@pytest.mark.parametrize("mu", [-0.1, float("nan")])
def test_a_negative_pull_is_refused(mu: float):
    with pytest.raises(InputError, match="mu of FedProx must be >= 0"):
        FedProx(mu=mu)

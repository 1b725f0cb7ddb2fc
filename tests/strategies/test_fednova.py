from __future__ import annotations

import pytest
from toy import Toy, flat, mean_of

from fednb.strategies import FedNova

START = {"weights": flat(1.0)}


def test_sites_with_unequal_steps_by_hand():
    # x = 2, y = 5, rate .1: one step moves .6, a second .36.
    one = FedNova().local(Toy([[2.0]], [5.0]).round(START))
    two = FedNova().local(Toy([[2.0]], [5.0]).round(START, epochs=2))
    assert (one["update"], one["steps"]) == (pytest.approx([0.6]), [1])
    assert (two["update"], two["steps"]) == (pytest.approx([0.48]), [2])
    mean = mean_of([one, two], [0.5, 0.5])
    after = FedNova().aggregate(FedNova().initial(flat(1.0)), mean)
    assert after.weights == pytest.approx([1 + 1.5 * 0.54])
    assert FedNova().vectors(9) == {"update": 9, "steps": 1}

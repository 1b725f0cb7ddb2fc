"""The accountant against Opacus' own, and against closed forms."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

from fednb.errors import InputError
from fednb.privacy.accountant import (
    ORDERS,
    Steps,
    epsilon_from,
    epsilon_of,
    noise_for,
    rdp_of_step,
    rounded_up,
)

CASES = [
    (noise, rate) for noise in (0.4, 0.8, 1.1, 4.0) for rate in (0.002, 0.05, 0.4, 1.0)
]


@pytest.mark.parametrize(("noise", "rate"), CASES)
def test_a_step_s_divergence_is_that_of_opacus(noise: float, rate: float):
    orders = (1.25, 2.0, 2.5, 3.0, 7.75, 12.0, 33.0, 64.0, 256.0)
    theirs = compute_rdp(
        q=rate, noise_multiplier=noise, steps=1, orders=[float(o) for o in orders]
    )
    ours = np.array(rdp_of_step(noise, rate, orders))
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-12)
    assert (ours >= np.asarray(theirs) - 1e-12).all()


@pytest.mark.parametrize(
    ("noise", "rate", "count"), [(1.1, 0.02, 900), (0.7, 0.3, 40), (3.0, 1.0, 25)]
)
def test_the_epsilon_is_that_of_opacus(noise: float, rate: float, count: int):
    accountant = RDPAccountant()
    for _ in range(count):
        accountant.step(noise_multiplier=noise, sample_rate=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an optimum at the edge of the orders
        theirs = accountant.get_epsilon(1e-5, alphas=[float(o) for o in ORDERS])
        usual = accountant.get_epsilon(1e-5)
    ours = epsilon_of((Steps(noise, rate, count),), 1e-5)
    assert ours == pytest.approx(theirs, rel=1e-6)
    # on Opacus' own, finer orders
    assert ours == pytest.approx(usual, rel=0.01)


def test_one_gaussian_is_the_closed_form():
    rdp = np.array(rdp_of_step(2.0, 1.0))
    assert rdp == pytest.approx(np.array(ORDERS) / 8)
    ours = epsilon_from(rdp, 1e-6)
    theirs, _ = get_privacy_spent(orders=list(ORDERS), rdp=list(rdp), delta=1e-6)
    assert ours == pytest.approx(theirs)


def test_nothing_spent_costs_nothing():
    assert epsilon_of((), 1e-5) == 0.0
    assert epsilon_of((Steps(1.0, 0.1, 0),), 1e-5) == 0.0


def test_costs_add_up_whatever_the_order():
    parts = (Steps(1.0, 0.1, 30), Steps(2.0, 0.3, 10), Steps(1.0, 0.1, 20))
    merged = (Steps(2.0, 0.3, 10), Steps(1.0, 0.1, 50))
    assert epsilon_of(parts, 1e-5) == pytest.approx(epsilon_of(merged, 1e-5))
    apart = sum(epsilon_of((p,), 1e-5) for p in parts)
    assert epsilon_of(parts[:1], 1e-5) < epsilon_of(parts, 1e-5) < apart


@settings(max_examples=25)
@given(
    noise=st.floats(0.5, 8),
    rate=st.floats(0.001, 1),
    count=st.integers(1, 5000),
)
def test_more_noise_fewer_steps_and_fewer_patients_cost_less(noise, rate, count):
    cost = epsilon_of((Steps(noise, rate, count),), 1e-5)
    assert 0 <= cost < math.inf
    slack = 1e-9 + 1e-6 * cost
    assert epsilon_of((Steps(noise * 1.1, rate, count),), 1e-5) <= cost + slack
    assert epsilon_of((Steps(noise, rate * 0.9, count),), 1e-5) <= cost + slack
    assert epsilon_of((Steps(noise, rate, count + 1),), 1e-5) >= cost
    assert epsilon_of((Steps(noise, rate, count),), 1e-7) >= cost


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0])
def test_the_least_noise_that_suffices_is_found(epsilon: float):
    noise = noise_for(epsilon, 1e-5, 0.2, 60)
    assert epsilon_of((Steps(noise, 0.2, 60),), 1e-5) <= epsilon
    assert epsilon_of((Steps(noise - 0.001, 0.2, 60),), 1e-5) > epsilon
    assert noise == noise_for(epsilon, 1e-5, 0.2, 60)


def test_what_cannot_be_reached_is_told():
    with pytest.raises(InputError, match="epsilon = 1e-06 at delta = 1e-05 cannot be"):
        noise_for(1e-6, 1e-5, 1.0, 1000)


@pytest.mark.parametrize(
    ("noise", "rate", "count"),
    [(0.0, 0.1, 1), (math.inf, 0.1, 1), (1.0, 0.0, 1), (1.0, 1.1, 1), (1.0, 0.1, -1)],
)
def test_what_is_no_mechanism_is_refused(noise: float, rate: float, count: int):
    with pytest.raises(InputError, match="Steps need a noise multiplier > 0"):
        Steps(noise, rate, count)


def test_delta_must_be_a_probability():
    with pytest.raises(InputError, match=r"delta must lie in \(0, 1\); got 0"):
        epsilon_of((), 0)


def test_costs_are_rounded_up_and_stay_where_they_are():
    assert rounded_up(7.9961) == 7.997
    assert rounded_up(rounded_up(7.9961)) == 7.997
    assert rounded_up(2.0) == 2.0

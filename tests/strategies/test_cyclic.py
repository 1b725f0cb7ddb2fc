from __future__ import annotations

import pytest
from toy import RATE, Toy, flat

from fednb.errors import InputError
from fednb.strategies import CyclicWeightTransfer

SITES = ["a", "b", "c"]
START = {"weights": flat(1.0)}


def test_weights_travel_and_are_taken_over():
    strategy = CyclicWeightTransfer()
    weights = strategy.local(Toy([[2.0]], [5.0]).round(START))
    assert weights["weights"] == pytest.approx([1.6])
    state = strategy.initial(flat(1.0))
    after = strategy.aggregate(state, weights)
    assert (after.round, after.weights.tolist()) == (1, pytest.approx([1.6]))
    assert strategy.vectors(5) == {"weights": 5}
    assert CyclicWeightTransfer.relay


def test_a_cycle_visits_every_site_once():
    assert CyclicWeightTransfer().visits(4, SITES) == (("a",), ("b",), ("c",))
    ordered = CyclicWeightTransfer(order=("c", "a", "b"))
    assert ordered.visits(0, SITES) == (("c",), ("a",), ("b",))
    rotating = CyclicWeightTransfer(rotation="rotate")
    assert [rotating.visits(t, SITES)[0] for t in range(4)] == [
        ("a",),
        ("b",),
        ("c",),
        ("a",),
    ]
    shuffled = CyclicWeightTransfer(rotation="shuffle", seed=1)
    routes = {shuffled.visits(t, SITES) for t in range(20)}
    assert len(routes) > 3
    assert {frozenset(route) for route in routes} == {frozenset((s,) for s in SITES)}
    assert shuffled.visits(7, SITES) == shuffled.visits(7, SITES)


def test_iterations_and_rate_follow_the_number_of_patients():
    site = Toy([[2.0]], [5.0])
    strategy = CyclicWeightTransfer(iterations=10, plti=True, clr=True)
    strategy.local(site.round(START, share=0.6, sites=3))
    assert site.asked == [{"balanced": False, "iterations": 18}]
    assert site.descent.rate == pytest.approx(RATE * 1.8)
    small = Toy([[2.0]], [5.0])
    strategy.local(small.round(START, share=0.001, sites=3))
    assert small.asked[0]["iterations"] == 1


def test_labels_are_balanced_in_batches_or_in_the_loss():
    site = Toy([[2.0]], [5.0])
    CyclicWeightTransfer(lwms=True, cwl=True).local(site.round(START, counts=(1, 3)))
    assert site.asked == [{"balanced": True, "iterations": 0}]
    assert site.weights_seen == [(4 / 2, 4 / 6)]
    CyclicWeightTransfer(cwl=True).local(site.round(START, counts=(0, 3)))
    assert site.weights_seen[-1] == (0.0, 0.5)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(InputError, match=r">= 1 with plti; got 0\."):
        CyclicWeightTransfer(plti=True)
    with pytest.raises(InputError, match="names a site twice: a, a"):
        CyclicWeightTransfer(order=("a", "a"))
    with pytest.raises(InputError, match="the participants are a, b, c"):
        CyclicWeightTransfer(order=("a", "d")).visits(0, SITES)

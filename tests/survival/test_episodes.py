"""Episodes of patients: what they sum to, and when columns act."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.records.datasets import Column
from fednb.records.formula import parse
from fednb.records.time_varying import windows
from fednb.survival.episodes import leaving, observed, split, steps_of
from fednb.survival.formula import terms_of
from fednb.survival.grid import Survival
from fednb.survival.riskset import RiskSets

CUTS = (4.0, 8.0)


def _patients(seed: int, n: int, *, late: bool):
    rng = np.random.default_rng(seed)
    time = np.rint(rng.uniform(0, 12, n))  # ties, times of zero, times on a cut
    entry = time - 1 - rng.uniform(0, 6, n) if late else None
    survival = Survival(
        time,
        rng.integers(0, 2, n),
        entry,
        rng.uniform(0.5, 2, n),
        rng.integers(0, 2, n),
    )
    return rng.normal(size=n), survival


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    late=st.booleans(),
    ties=st.sampled_from(["efron", "breslow"]),
)
def test_equal_steps_are_one_effect(seed, late, ties):
    """With one coefficient in all intervals, likelihood and score are as unsplit."""
    x, survival = _patients(seed, 40, late=late)
    z, episodes = split(np.column_stack([x] * 3), windows(CUTS), survival)
    assert (np.asarray(episodes.entry) < np.asarray(episodes.time)).all()
    assert np.sum(episodes.event) == np.sum(survival.event)
    found = _sets(z, episodes).sums(np.full(3, 0.4), ties)
    whole = _sets(x[:, None], survival).sums(np.array([0.4]), ties)
    assert found.log_likelihood == pytest.approx(whole.log_likelihood, abs=1e-9)
    assert found.score.sum() == pytest.approx(whole.score[0], abs=1e-9)
    assert np.trace(found.information) == pytest.approx(whole.information[0, 0])


def _sets(z, rows: Survival) -> RiskSets:
    return RiskSets(z, rows.time, rows.event, rows.entry, rows.weights, rows.strata)


def test_episodes_by_hand():
    survival = Survival([3.0, 4.0, 9.0], [1, 0, 1])
    spans = [(0, math.inf), (0, 4), (4, math.inf)]
    z, episodes = split(np.arange(1.0, 10.0).reshape(3, 3), spans, survival)
    np.testing.assert_array_equal(episodes.entry, [-1, -1, -1, 4])
    np.testing.assert_array_equal(episodes.time, [3, 4, 4, 9])
    np.testing.assert_array_equal(episodes.event, [1, 0, 0, 1])
    expected = [[1, 2, 0], [4, 5, 0], [7, 8, 0], [7, 0, 9]]
    np.testing.assert_array_equal(z, expected)


def test_who_is_at_risk_and_who_leaves_in_each_interval():
    survival = Survival([0.0, 4.0, 5.0, 20.0], [1, 1, 0, 1], [-1.0, -1.0, 4.0, 9.0])
    at_risk = observed(windows(CUTS), survival)
    expected = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(at_risk, expected)
    np.testing.assert_array_equal(leaving(windows(CUTS), survival), expected)
    longer = Survival([20.0], [1])
    np.testing.assert_array_equal(observed(windows(CUTS), longer), [[1, 1, 1]])
    np.testing.assert_array_equal(leaving(windows(CUTS), longer), [[0, 0, 1]])


def test_names_say_when_a_column_acts():
    columns = (
        Column("age", "number", lower=0.0, upper=99.0),
        Column("grade", "category", levels=("2", "3", "4")),
    )
    terms = terms_of(parse("age + C(grade)"), columns, {"grade": ("2", "3", "4")})
    names = ("unit_0", *terms.names())
    steps = steps_of(names, terms, {"C(grade)": (12.0,), "age": (6.0, 24.0)})
    assert steps.names == (
        "unit_0",
        *("age:0-6", "age:6-24", "age:24+"),
        *("C(grade)[T.3]:0-12", "C(grade)[T.3]:12+"),
        *("C(grade)[T.4]:0-12", "C(grade)[T.4]:12+"),
    )
    assert steps.source == (0, 1, 1, 1, 2, 2, 3, 3)
    assert steps.only([0, 3]).windows == ((0.0, math.inf), (24.0, math.inf))
    assert not steps_of(names, terms, {})

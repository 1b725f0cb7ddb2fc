"""Moments of a fit's columns: nobody who moves a column alone shows in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.records.contracts import Privacy
from fednb.records.datasets import Column
from fednb.records.heads import LogisticPlan
from fednb.site.tasks.moments import safe_location, safe_locations
from fednb.survival.protocol import design_of

STRICT = st.sampled_from([STANDARD, RARE_DISEASE])


def ones(n: int, count: int) -> np.ndarray:
    """Return a column of 0 and 1 in public units: -1 and 1."""
    return np.where(np.arange(n) < count, 1.0, -1.0)


def share(n: int, count: int, profile=STANDARD) -> float:
    """Return what a reader takes the share of ones to be."""
    mean, std = safe_location(ones(n, count), -1.0, profile, binary=True)
    found = (mean + 1) / 2
    assert std == pytest.approx(2 * np.sqrt(found * (1 - found)))
    return found


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, 0),
        (1, 0),
        (4, 0),
        (5, 10),
        (14, 10),
        (15, 20),
        (50, 50),
        (95, 90),
        (97, 100),
    ],
)
def test_patients_with_the_rarer_value_leave_in_tens(count, shown):
    assert share(100, count) == pytest.approx(shown / 100)


@given(st.integers(10, 400), st.data(), STRICT)
def test_nobody_and_few_look_the_same(n, data, profile):
    few = data.draw(st.integers(1, (profile.threshold - 1) // 2))
    assert share(n, few, profile) == share(n, 0, profile) == 0.0
    assert share(n, n - few, profile) == share(n, n, profile) == 1.0
    values = data.draw(st.lists(st.floats(-1, 1), min_size=few, max_size=few))
    column = np.concatenate([values, np.full(n - few, -0.4)])
    found = safe_location(column, -0.4, profile, binary=False)
    assert found == (-0.4, 0.0)


@given(st.integers(10, 400), st.data())
def test_a_share_is_near_and_never_beyond_half(n, data):
    count = data.draw(st.integers(0, n // 2))
    found = share(n, count)
    assert 0 <= found <= 0.5
    # steps of ten in a number that is itself rounded to ten
    assert abs(found * n - count) <= 5 + n * 0.05 + 5


def test_numbers_keep_two_decimals_and_the_open_profile_all():
    z = np.linspace(-0.5, 0.7, 31)
    assert safe_location(z, -1.0, STANDARD, binary=False) == (0.1, 0.36)
    exact = safe_location(z, -1.0, OPEN, binary=False)
    assert exact == (z.mean(), z.std())
    assert safe_location(z[:0], -1.0, OPEN, binary=True) == (0.0, 0.0)


def test_the_designs_own_units_are_used():
    columns = (
        Column("age", "number", lower=-10.0, upper=90.0, step=5.0),
        Column("idh", "binary"),
        Column("death", "binary"),
    )
    plan = LogisticPlan(target="death", formula="age + idh + age:idh")
    design = design_of(plan, columns, privacy=Privacy(), parts=3)
    age = np.linspace(20, 80, 40)
    x = np.column_stack([age, np.zeros(40), np.zeros(40)])
    without = (x - design.center) / np.asarray(design.half)
    # one patient has the mutation: her age is what the product's column holds
    x[7, 1:] = 1.0, age[7]
    z = (x - design.center) / np.asarray(design.half)
    for profile in (STANDARD, RARE_DISEASE):
        found = np.array(safe_locations(z, design, profile))
        assert np.array_equal(found, np.array(safe_locations(without, design, profile)))
        assert found[1, 1] == found[1, 2] == 0.0
    shown = np.array(safe_locations(z, design, OPEN))
    np.testing.assert_allclose(shown, [z.mean(axis=0), z.std(axis=0)])
    inside = np.zeros(z.shape, dtype=bool)
    inside[:20] = True
    there = replace(design, binary=(False,) * 3)
    found = np.array(safe_locations(z, there, OPEN, inside))
    np.testing.assert_allclose(found[0], z[:20].mean(axis=0))

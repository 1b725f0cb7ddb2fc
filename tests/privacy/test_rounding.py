from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.rounding import (
    least_counts,
    round_count,
    round_counts,
    round_value,
    show_count,
)


@pytest.mark.parametrize(
    ("n", "shown"),
    [
        (0, 0),
        (1, 0),
        (9, 0),
        (10, 10),
        (14, 10),
        (15, 20),
        (24, 20),
        (25, 30),
        (95, 100),
    ],
)
def test_nearest_ten(n, shown):
    assert round_count(n, STANDARD) == shown


# ceil(x / 6) * 6 - 3, by hand; below 7 nothing shows
@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, 0), (1, 0), (6, 0), (7, 9), (9, 9), (12, 9), (13, 15), (18, 15), (19, 21)],
)
def test_midpoint_six(n, shown):
    assert round_count(n, RARE_DISEASE) == shown


def test_open_rounds_nothing():
    assert round_counts([0, 1, 9, 123], OPEN).tolist() == [0, 1, 9, 123]
    assert round_value(1 / 3, 1.0, OPEN) == 1 / 3


def test_shown_as_text():
    assert {show_count(n, STANDARD) for n in range(10)} == {"<10"}
    assert {show_count(n, RARE_DISEASE) for n in range(7)} == {"<7"}
    assert show_count(17, STANDARD) == "20"
    assert show_count(0, OPEN) == "0"


@pytest.mark.parametrize(
    ("value", "resolution", "shown"),
    [(50.149, 1.0, 50.1), (50.16, 1.0, 50.2), (-3.04, 1.0, -3.0), (1.2345, 0.1, 1.23)],
)
def test_means_keep_one_decimal_beyond_the_unit(value, resolution, shown):
    assert round_value(value, resolution, STANDARD) == pytest.approx(shown, abs=1e-12)


@given(st.integers(0, 10_000), st.sampled_from([STANDARD, RARE_DISEASE, OPEN]))
def test_the_least_count_is_a_bound(n, profile):
    shown = round_count(n, profile)
    assert least_counts(shown, profile) <= n
    if shown:
        assert least_counts(shown, profile) >= profile.threshold

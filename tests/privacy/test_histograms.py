from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.privacy.histograms import (
    Histogram,
    check_histogram,
    check_quantile,
    grid_counts,
    interpolate,
    safe_histogram,
    safe_quantiles,
)
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.rounding import round_counts

GRID = tuple(float(e) for e in range(0, 125, 5))
VALUES = st.lists(st.floats(-20, 150), min_size=0, max_size=400)
PROFILES = st.sampled_from([STANDARD, RARE_DISEASE])


@given(VALUES, PROFILES, st.integers(1, 30))
def test_bins_hold_the_threshold_on_the_owners_grid(values, profile, bins):
    array = np.array(values)
    safe = safe_histogram(array, GRID, profile, bins)
    if array.size < profile.threshold:
        assert safe.value is None
        return
    edges, counts = safe.value.edges, safe.value.counts
    assert len(counts) <= max(1, min(bins, 20, array.size // 10))
    assert set(edges) <= set(GRID)
    assert (edges[0], edges[-1]) == (0.0, 120.0)
    exact = np.histogram(array.clip(0, 120), edges)[0]
    assert exact.min() >= profile.threshold
    assert exact.sum() == array.size
    assert list(counts) == round_counts(exact, profile).tolist()


def test_merging_by_hand():
    # cells 0-5: 12, 5-10: 3, 10-15: 4, 15-20: 6, 20-25: 5; 30 patients, 3 bins of >= 10
    values = np.repeat([2.0, 7.0, 12.0, 17.0, 22.0], [12, 3, 4, 6, 5])
    safe = safe_histogram(values, GRID[:6], STANDARD)
    # 12 | 3 + 4 + 6 and the 5 left over
    assert safe.value == Histogram((0.0, 5.0, 25.0), (10, 20))
    spread = safe.value.on_grid(GRID[:6])
    assert spread.tolist() == [10.0, 5.0, 5.0, 5.0, 5.0]
    assert safe_histogram(values, GRID[:6], OPEN).value.counts == (12, 3, 4, 6, 5)


def test_cells_are_closed_on_the_left_and_ends_take_what_is_outside():
    values = np.array([-3.0, 0.0, 4.9, 5.0, 10.0, 99.0])
    assert grid_counts(values, [0.0, 5.0, 10.0]).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("counts", "n", "allow"),
    [([10, 10], 20, True), ([9, 11], 20, False), ([10, 10, 10], 29, False)],
)
def test_the_histogram_rule(counts, n, allow):
    assert check_histogram(np.array(counts), n, STANDARD).allow is allow


@pytest.mark.parametrize(("edges", "bins"), [((1.0,), 5), (GRID, 0)])
def test_no_grid_or_no_bin_is_refused(edges, bins):
    with pytest.raises(InputError, match="needs a grid and a bin"):
        safe_histogram(np.arange(50.0), edges, STANDARD, bins)


@pytest.mark.parametrize(
    ("p", "n", "allow"),
    [
        (0.5, 20, True),
        (0.5, 19, False),
        (0.25, 40, True),
        (0.25, 39, False),
        (0.05, 200, True),
        (0.95, 200, True),
        (0.04, 10_000, False),
        (0.0, 10_000, False),
        (1.0, 10_000, False),
    ],
)
def test_the_quantile_rule(p, n, allow):
    assert check_quantile(p, n, STANDARD).allow is allow


@given(VALUES, PROFILES)
def test_quantiles_follow_the_histogram_only(values, profile):
    array = np.array(values)
    histogram = safe_histogram(array, GRID, profile).value
    if histogram is None:
        return
    wanted = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    found = safe_quantiles(histogram, wanted, profile).value
    assert found[0] is None
    assert found[-1] is None
    shown = [q for q in found if q is not None]
    assert shown == sorted(shown)
    for p, q in zip(wanted, found, strict=True):
        if q is not None:
            # rounded counts allow each side its share, minus what rounding may hide
            assert min(p, 1 - p) * array.size >= profile.threshold
            assert histogram.edges[0] < q < histogram.edges[-1]


@given(st.lists(st.floats(0, 120), min_size=1, max_size=300))
def test_open_quantiles_lie_in_the_cell_of_the_true_one(values):
    array = np.array(values)
    histogram = safe_histogram(array, GRID, OPEN).value
    for p in (0.1, 0.5, 0.9):
        (q,) = safe_quantiles(histogram, (p,), OPEN).value
        truth = np.quantile(array, p, method="inverted_cdf")
        assert abs(q - truth) <= 5.0 + 1e-9


def test_interpolation_by_hand():
    # 10 in 0-5, 30 in 5-10: the median is rank 20, a third into the second bin
    assert interpolate([0, 5, 10], [10, 30], [0.5, 0.25]) == pytest.approx(
        [5 + 5 / 3, 5.0]
    )
    assert math.isnan(interpolate([0, 5], [0], [0.5])[0])

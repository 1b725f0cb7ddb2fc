"""Pairs across sites from tables, against a loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.errors import FitError
from fednb.survival.pairs import PairSums, survival_pairs, two_sample_pairs
from fednb.survival.pooled_concordance import (
    cross_part,
    joint_table,
    pooled_index,
    survival_bin_pairs,
    survival_kernel,
    time_bin_pairs,
    time_kernel,
)

SHAPE = (8, 5)


@pytest.fixture
def sites():
    rng = np.random.default_rng(3)
    found = []
    for n in (40, 25, 60):
        bins = rng.integers(0, SHAPE[1], n)
        time = np.minimum(rng.integers(0, 9, n), SHAPE[0] - 1)
        found.append((time, rng.integers(0, 2, n), bins))
    return found


def test_where_bins_are_the_risk_all_pairs_come_out_exactly(sites):
    weight = np.linspace(1.0, 2.0, SHAPE[0])
    kernel = survival_kernel(weight)
    tables = [joint_table(*rows, SHAPE) for rows in sites]
    total = sum(tables)
    cross = sum(cross_part(kernel, t, t, total) for t in tables)
    within = PairSums.none()
    for time, event, bins in sites:
        within = within + survival_pairs(time, event, bins, weight[time])
    same = np.array([1.0, 2.0])  # ties are ties: half
    found = pooled_index(within, cross - kernel(total, total), same)
    time, event, bins = (np.concatenate(c) for c in zip(*sites, strict=True))
    whole = survival_pairs(time, event, bins, weight[time])
    assert found == pytest.approx(whole.index, abs=1e-12)


def test_what_sites_show_instead_hardly_moves_the_pairs(sites):
    kernel = survival_kernel(np.ones(SHAPE[0]))
    own = [joint_table(*rows, SHAPE) for rows in sites]
    # all but one site show their tables as they are: nothing may change
    shown = [own[0] + 0.5, own[1], own[2]]
    total = sum(shown)
    cross = sum(
        cross_part(kernel, o, s, total) for o, s in zip(own, shown, strict=True)
    )
    exact = kernel(sum(own), sum(own)) - sum(kernel(o, o) for o in own)
    np.testing.assert_allclose(cross - kernel(total, total), exact, atol=1e-9)


def test_the_kernel_of_a_time_pairs_cases_with_controls(sites):
    weight = np.linspace(1.0, 2.0, SHAPE[0])
    time, event, bins = sites[2]
    table = joint_table(time, event, bins, SHAPE)
    case = np.where((time <= 3) & (event == 1), weight[time], 0.0)
    control = (time > 3).astype(float)
    expected = two_sample_pairs(case, control, bins)
    found = time_kernel(weight, 3)(table, table)
    assert found[0] == pytest.approx(expected.agreeing)
    assert found[1] == pytest.approx(expected.comparable)
    risk = np.random.default_rng(0).normal(size=60)
    tied = time_bin_pairs(case, control, risk, bins)
    assert tied[1] == pytest.approx(found[2])


def test_pairs_of_one_bin_are_those_of_each_bin_by_itself(sites):
    time, event, bins = sites[0]
    risk = np.random.default_rng(1).normal(size=40)
    found = survival_bin_pairs(time, event, risk, bins)
    parts = [
        survival_pairs(time[bins == b], event[bins == b], risk[bins == b])
        for b in range(SHAPE[1])
        if (bins == b).any()
    ]
    assert found[0] == pytest.approx(sum(p.agreeing for p in parts))
    assert found[1] == pytest.approx(sum(p.comparable for p in parts))
    table = joint_table(time, event, bins, SHAPE)
    kernel = survival_kernel(np.ones(SHAPE[0]))
    assert kernel(table, table)[2] == pytest.approx(found[1])


def test_pairs_of_all_kinds_make_one_index_by_hand():
    within = PairSums(30.0, 40.0, 0.0)
    same = np.array([9.0, 10.0])
    # 10 of 20 in order across sites, 5 of them in one bin and counted half; at the rate
    # of .9 that pairs of one bin have within sites, 2 more are in order
    cross = np.array([10.0, 20.0, 5.0])
    assert pooled_index(within, cross, same) == pytest.approx((30 + 10 + 2) / 60)
    # 72 of 100 pairs of one interval are credited as in order
    close = np.array([100.0, 40.0, 6.0, 8.0, 10.0, 3.0, 5.0, 10.0])
    expected = (30 + 10 + 2 + 72) / (40 + 20 + 100)
    assert pooled_index(within, cross, same, close) == pytest.approx(expected)


def test_pairs_of_one_bin_of_which_no_site_has_one_count_half():
    cross = np.array([15.0, 20.0, 10.0])
    assert pooled_index(PairSums.none(), cross, np.zeros(2)) == pytest.approx(0.75)


def test_without_pairs_there_is_no_index():
    message = r"^No two patients of any two sites can be compared\.$"
    with pytest.raises(FitError, match=message):
        pooled_index(PairSums.none(), np.zeros(3), np.zeros(2))

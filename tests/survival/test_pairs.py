"""Weighted pairs against a loop over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_rows import of_r

from fednb.errors import FitError, InputError
from fednb.survival.concordance import concordance_counts
from fednb.survival.pairs import PairSums, survival_pairs, two_sample_pairs

ROW = st.tuples(
    st.integers(0, 6), st.integers(0, 1), st.integers(-3, 3), st.integers(0, 4)
)


def loop(comparable, weight, risk):
    """Sum a, b and the totals by the definition; `comparable[i, j]`: i before j."""
    order = (risk[:, None] > risk[None]) + 0.5 * (risk[:, None] == risk[None])
    pairs = comparable * weight[:, None]
    agree = pairs * order
    a = agree.sum(axis=1) + agree.sum(axis=0)
    b = pairs.sum(axis=1) + pairs.sum(axis=0)
    index = agree.sum() / max(pairs.sum(), 1e-300)
    return np.array([agree.sum(), pairs.sum(), ((a - index * b) ** 2).sum()])


def before(time, event):
    earlier = time[:, None] < time[None]
    tied = (time[:, None] == time[None]) & (event[None] == 0)
    return (event[:, None] == 1) * (earlier | tied)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=40))
def test_survival_pairs_are_those_of_the_definition(rows):
    time, event, risk, weight = np.array(rows, dtype=float).T
    found = survival_pairs(time, event, risk, weight).to_vector()
    expected = loop(before(time, event), weight, risk)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(max_examples=60)
@given(rows=st.lists(ROW, min_size=1, max_size=40))
def test_two_sample_pairs_are_those_of_the_definition(rows):
    _, case, risk, control = np.array(rows, dtype=float).T
    found = two_sample_pairs(case, control, risk).to_vector()
    expected = loop(np.broadcast_to(control, (len(case),) * 2), case, risk)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_without_weights_they_are_harrells_counts():
    rng = np.random.default_rng(0)
    n = 3000
    time, event = rng.integers(1, 400, n), rng.integers(0, 2, n)
    risk = rng.integers(0, 50, n)
    counts = concordance_counts(time, event, risk)
    found = survival_pairs(time, event, risk)
    assert found.comparable == counts.comparable
    assert found.agreeing == counts.concordant + 0.5 * counts.tied


def test_the_error_of_an_auc_is_delongs():
    rng = np.random.default_rng(1)
    label = np.repeat([1.0, 0.0], [40, 70])
    score = rng.normal(size=110) + label
    found = two_sample_pairs(label, 1 - label, score)
    cases, controls = score[:40], score[40:]
    wins = (cases[:, None] > controls[None]).astype(float)
    by_case, by_control = wins.mean(axis=1), wins.mean(axis=0)
    # DeLong's variance with n in place of n - 1
    delong = by_case.var() / 40 + by_control.var() / 70
    assert found.index == pytest.approx(wins.mean(), abs=1e-12)
    assert found.std_error == pytest.approx(np.sqrt(delong), rel=1e-12)


def test_the_error_covers_the_spread_over_samples():
    rng = np.random.default_rng(2)
    values, errors = [], []
    for _ in range(200):
        x = rng.normal(size=100)
        death = rng.exponential(np.exp(-x))
        censored = rng.exponential(2.0, size=100)
        found = survival_pairs(np.minimum(death, censored), death <= censored, x)
        values.append(found.index)
        errors.append(found.std_error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_shares_and_errors_are_those_of_r():
    rows, known = of_r("rows"), of_r("concordance").set_index("site")
    parts = {"all": rows} | dict(list(rows.groupby("site")))
    assert sorted(parts) == sorted(known.index)
    for site, part in parts.items():
        found = survival_pairs(part["time"], part["cause"] == 1, part["x1"])
        assert found.index == pytest.approx(known.loc[site, "index"], abs=1e-12)
        assert found.std_error == pytest.approx(known.loc[site, "se"], rel=1e-9)


@pytest.mark.parametrize("noise", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0)])
def test_the_error_over_sites_is_the_bootstrap_s(noise):
    """Of patients within sites, of which the second trial's differ in their C."""
    rng = np.random.default_rng(3)
    sites = []
    for n, wide in zip((120, 60, 90), noise, strict=True):
        x = rng.normal(size=n)
        death = rng.exponential(np.exp(-x))
        censored = rng.uniform(0.2, 3.0, size=n)
        score = x + wide * rng.normal(size=n)
        sites.append((np.minimum(death, censored), death <= censored, score))
    found = sum((survival_pairs(*rows) for rows in sites), PairSums.none())
    drawn = []
    for _ in range(400):
        again = PairSums.none()
        for rows in sites:
            chosen = rng.integers(0, len(rows[0]), len(rows[0]))
            again = again + survival_pairs(*(column[chosen] for column in rows))
        drawn.append(again.index)
    assert found.std_error == pytest.approx(np.std(drawn), rel=0.1)


def test_sums_of_sites_add_up_and_units_change_no_share():
    first = PairSums(3.0, 4.0, 2.0)
    both = first + first
    assert (both.agreeing, both.comparable) == (6.0, 8.0)
    assert both.index == first.index == 0.75
    assert first.per(7.0).std_error == pytest.approx(first.std_error)
    again = PairSums.from_vector(both.to_vector())
    assert again.to_vector().tolist() == [6.0, 8.0, 4.0]


def test_without_a_comparable_pair_there_is_no_share():
    found = survival_pairs([1.0, 2.0], [0, 0], [1.0, 2.0])
    assert np.isnan(found.std_error)
    with pytest.raises(FitError, match=r"^No two patients can be compared: there is "):
        _ = found.index
    with pytest.raises(InputError, match=r"^Events must be 0"):
        survival_pairs([1.0], [2], [1.0])

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.utils import concordance_index
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored

from fednb.errors import FitError, InputError
from fednb.survival.concordance import PairCounts, auc_counts, concordance_counts

patients = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(-4, 4), st.integers(-1, 2)),
    max_size=40,
)


def brute_force(time: list, event: list, risk: list, strata: list) -> PairCounts:
    concordant = tied = comparable = 0
    n = len(time)
    for i in range(n):
        for j in range(n):
            earlier = time[i] < time[j] or (time[i] == time[j] and not event[j])
            if i != j and strata[i] == strata[j] and event[i] and earlier:
                comparable += 1
                concordant += risk[i] > risk[j]
                tied += risk[i] == risk[j]
    return PairCounts(concordant, tied, comparable)


@settings(max_examples=200)
@given(patients)
def test_counts_equal_brute_force(rows: list):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
    assert concordance_counts(*columns) == brute_force(*columns)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 200))
def test_the_index_equals_lifelines(seed: int, n: int):
    rng = np.random.default_rng(seed)
    time, event = rng.integers(1, 30, n), rng.random(n) < 0.6
    time[:3], event[:3] = [0, 0, 1], [True, False, False]
    risk = rng.integers(0, 20, n) / 7
    counts = concordance_counts(time, event, risk)
    expected = concordance_index(time, -risk, event)
    assert counts.index == pytest.approx(expected, abs=1e-12)


def test_the_counts_equal_scikit_survivals():
    rng = np.random.default_rng(1)
    time, event = rng.exponential(size=3000), rng.random(3000) < 0.5
    risk = np.round(rng.normal(size=3000), 1)
    index, concordant, _, tied, _ = concordance_index_censored(event, time, risk)
    counts = concordance_counts(time, event, risk)
    assert (counts.concordant, counts.tied) == (concordant, tied)
    assert counts.index == pytest.approx(index)


def test_strata_add_up():
    rng = np.random.default_rng(2)
    time, event = rng.integers(1, 50, 300), rng.random(300) < 0.5
    risk, site = rng.normal(size=300), rng.integers(0, 3, 300)
    total = PairCounts(0, 0, 0)
    for k in range(3):
        here = site == k
        total += concordance_counts(time[here], event[here], risk[here])
    assert concordance_counts(time, event, risk, site) == total


def test_by_hand():
    # deaths at 1 and 2, censored at 2 and 3; the second score is out of order
    counts = concordance_counts([1, 2, 2, 3], [1, 1, 0, 0], [4, 1, 2, 1])
    assert counts == PairCounts(concordant=3, tied=1, comparable=5)
    assert counts.index == pytest.approx(3.5 / 5)
    assert isinstance(counts.concordant, int)


def test_no_comparable_pairs():
    counts = concordance_counts([1, 2], [0, 0], [0.0, 1.0])
    assert counts == PairCounts(0, 0, 0)
    with pytest.raises(FitError, match="No two patients can be compared"):
        _ = counts.index


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 100))
def test_the_auc_equals_scikit_learn(seed: int, n: int):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    label[:2] = [0, 1]
    score = rng.integers(0, 12, n)
    counts = auc_counts(label, score)
    assert counts.index == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert counts.comparable == label.sum() * (n - label.sum())


def test_malformed_input_is_refused():
    with pytest.raises(InputError, match="The scores have shape"):
        concordance_counts([1, 2], [1, 0], [0.0, np.nan])
    with pytest.raises(InputError, match=r"exit times have shape \(3,\); 2 finite"):
        concordance_counts([1, 2, 3], [1, 0, 1], [0.0, 1.0])
    with pytest.raises(InputError, match="Labels must be 0 or 1"):
        auc_counts([0, 2], [0.0, 1.0])

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import FitError, InputError
from fednb.survival.deepcox import (
    Baseline,
    HazardSums,
    interval_codes,
    merge_codes,
    merge_times,
)
from fednb.survival.riskset import RiskSets


def cohort(seed: int, n: int = 60, intervals: int = 6):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, intervals, n)
    event = (rng.random(n) < 0.6).astype(float)
    event[0] = 1.0
    return rng.normal(size=n), codes, event


def test_an_interval_holds_its_upper_end_and_the_last_all_that_follows():
    codes = interval_codes([0.0, 3.0, 3.1, 6.0, 6.1, 99.0], (3.0, 6.0, 12.0))
    assert codes.tolist() == [0, 0, 1, 1, 2, 2]
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError) as error:
            interval_codes([1.0, bad], (3.0,))
        assert str(error.value) == ("Follow-up times must be finite and not negative.")


def test_exits_are_put_off_until_there_are_enough():
    codes = np.repeat([0, 1, 3, 4, 6], [2, 3, 9, 1, 2])
    # 2 + 3 make five in interval 1, 9 are enough, 1 + 2 are not and join the run before
    assert merge_codes(codes, 5).tolist() == [1] * 5 + [6] * 12
    assert merge_codes(codes, 1).tolist() == codes.tolist()
    assert merge_codes(codes, 100).tolist() == [6] * 17
    assert merge_codes(codes[:0], 5).size == 0


OWN = tuple(float(end) for end in range(6, 126, 6))


def test_times_are_put_off_to_the_ends_of_the_owners_runs():
    found = merge_times([1.0, 5.0, 7.0, 13.0, 14.0], OWN, 2)
    assert found.tolist() == [6.0, 6.0, 18.0, 18.0, 18.0]


@given(
    st.lists(st.floats(0, 130), min_size=20, max_size=120),
    st.lists(st.sets(st.sampled_from(OWN), min_size=1), min_size=2, max_size=2),
)
def test_no_two_choices_of_intervals_part_fewer_than_the_threshold(times, chosen):
    """What two trainings sum until any of their ends differs by nobody, or by ten."""
    merged = merge_times(times, OWN, 10)
    until = set()
    for ends in map(sorted, chosen):
        codes = interval_codes(merged, ends)
        until |= {int((codes <= j).sum()) for j in range(len(ends))}
    apart = {abs(one - other) for one in until for other in until}
    assert not apart & set(range(1, 10))


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=200),
    st.integers(min_value=1, max_value=30),
)
def test_no_interval_is_left_with_too_few(raw, least):
    codes = np.asarray(raw)
    merged = merge_codes(codes, least)
    counts = np.unique(merged, return_counts=True)[1]
    assert counts.min() >= min(least, codes.size)
    order = np.argsort(codes, kind="stable")
    assert (np.diff(merged[order]) >= 0).all()
    assert (merged >= codes).all()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(4))
def test_the_exposure_is_the_residual_of_the_partial_likelihood(seed, ties):
    """d ll / d eta_i against the risk sets of the Cox head, one column a patient."""
    eta, codes, event = cohort(seed)
    sums = HazardSums.of(eta, codes, event, 6)
    baseline = Baseline.of(sums, ties)
    found = event - np.exp(eta) * baseline.exposure(codes, event)
    # eta_i as a column of its own: x = I, beta = eta
    expected = RiskSets(np.eye(eta.size), codes, event).sums(eta, ties)
    assert np.allclose(found, expected.score, atol=1e-12)
    loss = np.exp(eta) * baseline.exposure(codes, event) - event * eta
    total = loss.sum() + baseline.deaths * baseline.per_death
    assert total == pytest.approx(-expected.log_likelihood, abs=1e-9)


def test_sums_of_sites_are_sums_of_the_pool():
    eta, codes, event = cohort(1)
    pooled = HazardSums.of(eta, codes, event, 6)
    parts = [
        HazardSums.of(eta[k::3], codes[k::3], event[k::3], 6).to_vector()
        for k in range(3)
    ]
    found = HazardSums.from_vector(np.sum(parts, axis=0))
    assert np.allclose(found.to_vector(), pooled.to_vector())
    halves = HazardSums.of(eta[:9], codes[:9], event[:9], 6)
    rest = HazardSums.of(eta[9:], codes[9:], event[9:], 6)
    assert np.allclose((halves + rest).to_vector(), pooled.to_vector())


def test_a_baseline_by_hand():
    # hazards 1, 2, 4; deaths of the first two in interval 0, the third lives on to 1
    eta = np.log([1.0, 2.0, 4.0])
    sums = HazardSums.of(eta, np.array([0, 0, 1]), [1, 1, 0], 2)
    assert sums.at_risk.tolist() == pytest.approx([7, 4])
    assert sums.dying.tolist() == pytest.approx([3, 0])
    assert sums.deaths.tolist() == [2, 0]
    breslow = Baseline.of(sums, "breslow")
    assert breslow.cumulative.tolist() == pytest.approx([2 / 7, 2 / 7])
    efron = Baseline.of(sums, "efron")
    whole = 1 / 7 + 1 / 5.5
    assert efron.cumulative.tolist() == pytest.approx([whole, whole])
    exposure = efron.exposure(np.array([0, 1]), [1, 0])
    assert exposure.tolist() == pytest.approx([1 / 7 + 0.5 / 5.5, whole])
    assert efron.log_phi == pytest.approx(np.log(7 * 5.5))


@pytest.mark.parametrize("shift", [-9.0, 9.0])
def test_the_level_of_the_log_hazards_is_the_baselines(shift):
    eta, codes, event = cohort(2)
    plain, moved = (
        Baseline.of(HazardSums.of(e, codes, event, 6)) for e in (eta, eta + shift)
    )
    assert np.allclose(moved.increments * np.exp(shift), plain.increments)


def test_rounded_sums_keep_order_and_give_nearly_the_same_baseline():
    eta, codes, event = cohort(3, n=400)
    exact = HazardSums.of(eta, codes, event, 6)
    rounded = exact.rounded()
    assert np.abs(rounded.at_risk / exact.at_risk - 1).max() < 0.005
    assert (np.diff(rounded.at_risk) <= 0).all()
    assert (rounded.dying <= rounded.at_risk).all()
    assert (rounded.at_risk != exact.at_risk).any()
    near = Baseline.of(rounded).cumulative / Baseline.of(exact).cumulative
    assert np.abs(near - 1).max() < 0.005
    nothing = HazardSums(np.zeros(2), np.zeros(2), np.zeros(2)).rounded()
    assert not nothing.to_vector().any()


def test_what_cannot_be_fitted_says_so():
    eta, codes, _ = cohort(4)
    with pytest.raises(FitError) as error:
        Baseline.of(HazardSums.of(eta, codes, np.zeros(eta.size), 6))
    assert str(error.value) == (
        "No training patient of any site dies; a survival network needs deaths. "
        "Choose another outcome, split or follow-up."
    )
    for bad in (15.1, -15.1, np.nan):
        with pytest.raises(FitError, match=r"^The network's log-hazards have left the"):
            HazardSums.of([0.0, bad], np.array([0, 0]), [1, 0], 1)
    with pytest.raises(FitError, match=r"^The sums have deaths in an interval in whi"):
        Baseline.of(HazardSums(np.zeros(1), np.zeros(1), np.ones(1)))
    with pytest.raises(InputError, match=r"^Unknown ties 'exact'"):
        Baseline.of(HazardSums.of([0.0], np.array([0]), [1], 1), "exact")
    for bad in ([1.0, 2.0], [-1.0, 0.0, 0.0], [np.nan, 0.0, 0.0]):
        with pytest.raises(InputError, match=r"^Hazard sums of shape"):
            HazardSums.from_vector(bad)

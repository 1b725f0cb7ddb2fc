"""Figures of training and evaluation as they leave a site, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fednb.privacy.metrics import (
    EvaluationSums,
    TrainingSums,
    safe_evaluation_metrics,
    safe_training_metrics,
)
from fednb.privacy.profiles import OPEN, STANDARD
from fednb.survival.concordance import concordance_counts
from fednb.survival.pairs import survival_pairs

TRAINED = TrainingSums(43, 43 * 0.61234, 26, 26 * 0.7, 101, 16, 155)
EVALUATED = EvaluationSums(
    43, 43 * 0.61234, 43 * 0.2, 101, 16, 155, positives=17, spread=0.0012345
)


def test_counts_leave_in_tens_and_means_in_three_decimals():
    found = safe_training_metrics(np.array(TRAINED), STANDARD)
    np.testing.assert_allclose(found, [40, 40 * 0.612, 30, 30 * 0.7, 100, 20, 160])
    found = safe_evaluation_metrics(np.array(EVALUATED), STANDARD)
    np.testing.assert_allclose(found[:-1], [40, 40 * 0.612, 40 * 0.2, 100, 20, 160, 20])
    # each value is a fifth above the one before: this one lies between two of them
    assert np.log(found[-1]) / 0.2 == pytest.approx(-33)


def test_what_few_are_counted_in_is_nothing():
    few = TRAINED._replace(n=STANDARD.threshold - 1)
    found = safe_training_metrics(np.array(few), STANDARD)
    assert found[:2].tolist() == [0, 0]
    assert found[2:].all()
    few = TRAINED._replace(validation_n=STANDARD.threshold - 1)
    found = safe_training_metrics(np.array(few), STANDARD)
    assert found[:2].all()
    assert not found[2:].any()
    few = EVALUATED._replace(n=STANDARD.threshold - 1)
    assert not safe_evaluation_metrics(np.array(few), STANDARD).any()
    # of a class below the threshold nothing is told, not even that there is one
    rare = EVALUATED._replace(positives=STANDARD.threshold - 1)
    assert safe_evaluation_metrics(np.array(rare), STANDARD)[-2] == 0


def test_the_open_profile_shows_all():
    for sums, safe in (
        (TRAINED, safe_training_metrics),
        (EVALUATED, safe_evaluation_metrics),
    ):
        np.testing.assert_array_equal(safe(np.array(sums), OPEN), np.array(sums))


def test_a_share_counts_ties_half_and_is_missing_without_pairs():
    assert TRAINED.share == EVALUATED.share == pytest.approx(109 / 155)
    assert np.isnan(TRAINED._replace(pairs=0).share)


def test_the_error_of_a_share_follows_from_one_sum_a_site():
    assert EVALUATED.share_error == pytest.approx(np.sqrt(1234.5) / 155)
    assert np.isnan(EVALUATED._replace(pairs=0).share_error)
    assert np.isnan(EvaluationSums(*EVALUATED[:7]).share_error)


@pytest.mark.parametrize(
    ("positives", "survival", "hidden"),
    [(9, False, True), (34, False, True), (9, True, True), (34, True, False)],
)
def test_the_spread_of_few_is_what_no_share_exceeds(positives, survival, hidden):
    """Of 43: nine dead, or nine of either label, are below the threshold."""
    own = EVALUATED._replace(positives=positives)
    found = safe_evaluation_metrics(np.array(own), STANDARD, survival=survival)
    shown = EvaluationSums(*found)
    if hidden:
        # nothing but the pairs that are shown is in it
        assert shown.spread == pytest.approx(160**2 / 4 / 1e6)
        assert shown.share_error == pytest.approx(0.5)
    else:
        assert shown.spread == pytest.approx(0.0012345, rel=0.11)
    other = own._replace(spread=0.0099)
    again = safe_evaluation_metrics(np.array(other), STANDARD, survival=survival)
    assert (again[-1] == found[-1]) == hidden


def told(time, event, risk) -> tuple[float, ...]:
    """Return what a site tells of its survival network, under the standard rules."""
    pairs = concordance_counts(time, event, risk)
    counts = (pairs.concordant, pairs.tied, pairs.comparable, event.sum())
    spread = survival_pairs(time, event, risk).spread / 1e6
    sums = np.array([len(time), 0.0, 0.0, *counts, spread])
    return tuple(safe_evaluation_metrics(sums, STANDARD, survival=True).tolist())


def test_who_knows_all_patients_but_one_does_not_find_that_ones_score():
    """The red team's view: a coordinator with all the other sites, and all but one row.

    Of every place that the patient's score could have among the others', those that
    agree with what the site told are left. Recovered is a score within 1 % of an SD.
    """
    rng = np.random.default_rng(7)
    places, found = [], 0
    for _ in range(12):
        risk = rng.normal(size=40)
        time = rng.exponential(np.exp(-risk))
        event = (rng.uniform(size=40) < 0.7).astype(float)
        known, target = np.sort(risk[1:]), risk[0]
        seen = told(time, event, risk)
        between = (known[1:] + known[:-1]) / 2
        left = []
        for score in np.array([known[0] - 1, *between, known[-1] + 1]):
            tried = told(time, event, np.append(score, risk[1:]))
            if tried == seen:
                left.append(score)
        places.append(len(left))
        near = np.abs(np.array(left) - target) <= 0.01 * risk.std()
        found += len(left) == 1 and bool(near.any())
    assert found == 0
    # with the pairs alone it is as many places, to within what rounding hits
    assert np.median(places) >= 3

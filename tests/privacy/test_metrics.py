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

TRAINED = TrainingSums(43, 43 * 0.61234, 26, 26 * 0.7, 101, 16, 155)
EVALUATED = EvaluationSums(43, 43 * 0.61234, 43 * 0.2, 101, 16, 155, positives=17)


def test_counts_leave_in_tens_and_means_in_three_decimals():
    found = safe_training_metrics(np.array(TRAINED), STANDARD)
    np.testing.assert_allclose(found, [40, 40 * 0.612, 30, 30 * 0.7, 100, 20, 160])
    found = safe_evaluation_metrics(np.array(EVALUATED), STANDARD)
    np.testing.assert_allclose(found, [40, 40 * 0.612, 40 * 0.2, 100, 20, 160, 20])


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
    assert safe_evaluation_metrics(np.array(rare), STANDARD)[-1] == 0


def test_the_open_profile_shows_all():
    for sums, safe in (
        (TRAINED, safe_training_metrics),
        (EVALUATED, safe_evaluation_metrics),
    ):
        np.testing.assert_array_equal(safe(np.array(sums), OPEN), np.array(sums))


def test_a_share_counts_ties_half_and_is_missing_without_pairs():
    assert TRAINED.share == EVALUATED.share == pytest.approx(109 / 155)
    assert np.isnan(TRAINED._replace(pairs=0).share)

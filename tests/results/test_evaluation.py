from __future__ import annotations

import math

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError, UnknownNameError
from fednb.results.evaluation import EvaluationResult, SplitScore, hanley_mcneil


def test_the_standard_error_of_the_paper():
    """51 abnormal and 58 normal images, AUC .893: SE .032 (Hanley and McNeil 1982)."""
    assert round(hanley_mcneil(0.893, 51, 58), 3) == 0.033
    assert hanley_mcneil(0.893, 51, 58) == pytest.approx(0.0325, abs=3e-4)


@given(st.floats(0, 1), st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_standard_error_is_at_most_that_of_one_pair(
    auc: float, positives: int, negatives: int
):
    error = hanley_mcneil(auc, positives, negatives)
    bound = auc * (1 - auc) / min(positives, negatives)  # van Dantzig
    assert 0 <= error <= math.sqrt(bound) + 1e-9


def test_the_standard_error_at_one_half_is_that_of_the_rank_sum_test():
    n, m = 30, 50
    assert hanley_mcneil(0.5, n, m) == pytest.approx(
        np.sqrt((n + m + 1) / (12 * n * m)), rel=1e-12
    )


def test_an_empty_class_has_no_standard_error():
    assert math.isnan(hanley_mcneil(0.5, 0, 10))


def test_an_impossible_auc_is_refused():
    with pytest.raises(InputError, match=r"^An AUC lies between 0 and 1; got 1\.5\.$"):
        hanley_mcneil(1.5, 10, 10)


def test_the_first_split_is_the_results_own():
    result = samples.evaluation("test")
    assert (result.auc, result.auc_se, result.n) == (0.9, 0.02, 300)
    assert (result.log_loss, result.brier) == (0.4, 0.12)
    assert result.of("train").auc == 0.95
    with pytest.raises(UnknownNameError, match="Unknown split 'tests'"):
        result.of("tests")


def test_to_frame_has_a_row_a_split():
    frame = samples.evaluation("test").to_frame()
    assert frame.index.tolist() == ["test", "train"]
    assert list(frame.columns) == [
        *("auc", "auc_se", "log_loss", "brier", "n"),
        *("c_index", "c_index_se"),
    ]


def test_a_small_split_is_not_told_from_none():
    assert "<10" in repr(samples.evaluation())


def test_a_survival_network_has_c_in_place_of_an_auc():
    score = SplitScore("test", c_index=0.7, c_index_se=0.03, n=120)
    result = EvaluationResult(splits=(score,), target="survival (os, death)")
    assert (result.c_index, result.c_index_se) == (0.7, 0.03)
    shown = str(result)
    assert "split    n      C     SE" in shown
    assert "AUC" not in shown
    assert "AUC" not in result._repr_html_()
    axes = result.plot()
    assert axes.get_xlabel() == "C (95 % CI)"
    (bars,) = axes.collections
    low, high = (end[0] for end in bars.get_segments()[0])
    assert (low, high) == pytest.approx((0.7 - 1.96 * 0.03, 0.7 + 1.96 * 0.03))
    assert math.isnan(samples.evaluation("test").c_index)

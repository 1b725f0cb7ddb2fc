from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import samples


def test_the_table_has_the_shape_of_the_cox_table():
    result = samples.logistic("age")
    assert list(result.summary.columns) == list(samples.cox().summary.columns)
    assert result.odds_ratios_["age"] == pytest.approx(math.exp(0.5))
    assert result.summary.loc["age", "z"] == pytest.approx(5.0)
    assert result.log_likelihood_ == -100.0


def test_the_auc_comes_from_pairs():
    result = samples.logistic()
    assert result.auc == 0.893
    assert result.auc_se == pytest.approx(0.0325, abs=3e-4)
    assert "AUC (age, pairs within sites): 0.893" in repr(result)
    told = dataclasses.replace(result, index_se=0.03)
    assert told.auc_se == 0.03
    assert "AUC (age, pairs within sites): 0.893 (se 0.030)" in repr(told)
    bare = dataclasses.replace(result, pairs=None)
    assert math.isnan(bare.auc)
    assert math.isnan(bare.auc_se)


def test_probabilities_with_and_without_the_intercept_column():
    result = samples.logistic("age")
    rows = pd.DataFrame({"age": [2.0, 4.0, 5000.0]}, index=["a", "b", "c"])
    expected = [0.5, 1 / (1 + math.exp(-1.0)), 1.0]
    assert result.predict_probability(rows).tolist() == pytest.approx(expected)
    full = np.column_stack([np.ones(3), rows["age"]])
    assert result.predict_probability(full).tolist() == pytest.approx(expected)
    assert result.predict_probability(rows).index.tolist() == ["a", "b", "c"]


def test_the_forest_plot_is_of_odds_ratios():
    assert samples.logistic().plot().get_xlabel() == "log(OR) (95% CI)"

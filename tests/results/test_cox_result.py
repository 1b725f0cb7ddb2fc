"""The Cox result against lifelines' own fit of the same rows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import samples
from lifelines import CoxPHFitter
from lifelines.datasets import load_rossi

from fednb.errors import InputError, UnknownNameError
from fednb.results.survival import CoxResult
from fednb.survival.coxph import CoxEstimate

Pair = tuple[CoxPHFitter, CoxResult, pd.DataFrame]


@pytest.fixture(scope="module", params=[(0.0, None), (0.05, None), (0.0, "race")])
def pair(request: pytest.FixtureRequest):
    """A fit of lifelines, and the same numbers as a federated result."""
    penalizer, strata = request.param
    rossi = load_rossi()
    real = CoxPHFitter(penalizer=penalizer, strata=strata)
    real.fit(rossi, "week", "arrest")
    estimate = CoxEstimate(
        names=tuple(real.params_.index),
        coefficients=real.params_.to_numpy(),
        covariance=real.variance_matrix_.to_numpy(),
        center=rossi[list(real.params_.index)].mean().to_numpy(),
        log_likelihood=real.log_likelihood_,
        log_likelihood_penalised=real.log_likelihood_,
        log_likelihood_null=real._ll_null_,
        n=len(rossi),
        events=int(rossi["arrest"].sum()),
        evaluations=5,
    )
    result = CoxResult(
        estimate=estimate,
        duration="week",
        event="arrest",
        penalizer=penalizer,
        strata=strata or "",
    )
    return real, result, rossi


def test_the_table_is_that_of_lifelines(pair: Pair):
    real, result, _ = pair
    pd.testing.assert_frame_equal(result.summary, real.summary, rtol=1e-9)
    pd.testing.assert_frame_equal(result.to_frame(), result.summary)


@pytest.mark.parametrize(
    "name",
    [
        "params_",
        "standard_errors_",
        "hazard_ratios_",
        "confidence_intervals_",
        "variance_matrix_",
    ],
)
def test_fitted_attributes_are_those_of_lifelines(pair: Pair, name: str):
    real, result, _ = pair
    check = (
        pd.testing.assert_frame_equal
        if isinstance(getattr(real, name), pd.DataFrame)
        else pd.testing.assert_series_equal
    )
    check(getattr(result, name), getattr(real, name), rtol=1e-12, check_names=False)
    check(getattr(result.to_lifelines(), name), getattr(result, name))


def test_likelihoods_are_those_of_lifelines(pair: Pair):
    real, result, _ = pair
    ours, theirs = result.log_likelihood_ratio_test(), real.log_likelihood_ratio_test()
    assert ours.test_statistic == pytest.approx(theirs.test_statistic, rel=1e-12)
    assert ours.p_value == pytest.approx(theirs.p_value, rel=1e-9)
    assert ours.degrees_freedom == theirs.degrees_freedom
    assert pytest.approx(real.AIC_partial_) == result.AIC_partial_


def test_predictions_are_those_of_lifelines(pair: Pair):
    real, result, rossi = pair
    for name in ("predict_partial_hazard", "predict_log_partial_hazard"):
        expected = getattr(real, name)(rossi)
        shuffled = rossi[rossi.columns[::-1]]
        for fit in (result, result.to_lifelines()):
            predicted = getattr(fit, name)(shuffled)
            pd.testing.assert_series_equal(predicted, expected, rtol=1e-9)


def test_to_lifelines_gives_a_fitter_that_works(
    pair: Pair, capsys: pytest.CaptureFixture[str]
):
    real, result, _ = pair
    fitter = result.to_lifelines()
    assert isinstance(fitter, CoxPHFitter)
    pd.testing.assert_frame_equal(fitter.summary, real.summary, rtol=1e-9)
    fitter.print_summary(style="ascii")
    shown = capsys.readouterr().out
    real.print_summary(style="ascii")
    expected = capsys.readouterr().out

    def figures(text: str) -> list[str]:
        skipped = ("<lifelines", "time fit", "Concordance")
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith(skipped)]

    assert figures(shown) == figures(expected)
    drawn, wanted = fitter.plot(), real.plot()
    assert drawn.get_xlabel() == wanted.get_xlabel()


def test_the_clothing_has_no_baseline():
    fitter = samples.cox().to_lifelines()
    assert not hasattr(fitter, "baseline_hazard_")
    assert fitter.strata == "site"
    assert fitter.concordance_index_ == 0.71


def test_print_summary_writes_every_column(capsys: pytest.CaptureFixture[str]):
    samples.cox().print_summary(decimals=3)
    shown = capsys.readouterr().out
    for column in samples.cox().summary.columns:
        assert column in shown
    assert "Concordance (age, pairs within sites): 0.710" in shown
    assert "log-likelihood ratio test:             18.000 on 2 df" in shown
    assert "0.006 SE at most, in the errors" in shown


def test_print_summary_of_some_columns(capsys: pytest.CaptureFixture[str]):
    samples.cox().print_summary(columns=["coef", "p"])
    shown = capsys.readouterr().out
    assert "se(coef)" not in shown
    with pytest.raises(UnknownNameError, match="Unknown column 'coefs'"):
        samples.cox().print_summary(columns=["coefs"])


def test_a_small_p_value_is_shown_as_lifelines_does():
    assert "<0.005" in repr(samples.logistic())
    assert "<0.005" not in repr(samples.cox())


def test_intervals_are_at_the_level_asked_for():
    assert "exp(coef) lower 90%" in repr(samples.cox(level=0.9))


def test_the_forest_plot_shows_coefficients_and_intervals():
    axes = samples.cox("age").plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["e0", "age"]
    assert list(axes.lines[0].get_xdata()) == [-0.25, 0.5]
    (bars,) = axes.collections
    low, high = (end[0] for end in bars.get_segments()[1])
    assert (low, high) == pytest.approx((0.5 - 1.959964 * 0.2, 0.5 + 1.959964 * 0.2))
    assert axes.get_xlabel() == "log(HR) (95% CI)"


def test_the_forest_plot_of_some_covariates():
    axes = samples.cox("age").plot(columns=["age"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["age"]
    with pytest.raises(UnknownNameError, match="Unknown covariate 'ages'"):
        samples.cox("age").plot(columns=["ages"])


def test_rows_without_a_covariate_are_refused():
    with pytest.raises(UnknownNameError, match="Unknown column 'e0'"):
        samples.cox("age").predict_partial_hazard(pd.DataFrame({"age": [50.0]}))
    with pytest.raises(InputError, match=r"^An array of shape \(1, 3\) needs 2"):
        samples.cox("age").predict_partial_hazard(np.zeros((1, 3)))


def test_arrays_are_read_in_the_order_of_the_covariates():
    predicted = samples.cox("age").predict_log_partial_hazard(np.array([[52.0, 2.0]]))
    assert predicted.tolist() == [0.5 * 2 - 0.25 * 2]


def test_without_an_evaluation_there_is_no_concordance():
    result = dataclasses.replace(samples.cox(), pairs=None)
    assert math.isnan(result.concordance_index_)
    assert "Concordance" not in repr(result)
    assert math.isnan(result.to_lifelines().concordance_index_)


def test_the_error_of_concordance_is_shown_where_it_is_known():
    result = samples.cox(index_se=0.0212)
    assert result.concordance_index_se_ == 0.0212
    assert "Concordance (age, pairs within sites): 0.710 (se 0.021)" in repr(result)
    assert math.isnan(samples.cox().concordance_index_se_)
    assert "(se" not in repr(samples.cox())


def test_hazard_ratios_are_drawn_on_their_own_scale():
    axes = samples.cox("age").plot(hazard_ratios=True)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "HR (95% CI)"
    assert list(axes.lines[0].get_xdata()) == pytest.approx(np.exp([-0.25, 0.5]))
    (bars,) = axes.collections
    low, high = (end[0] for end in bars.get_segments()[1])
    bounds = np.exp([0.5 - 1.959964 * 0.2, 0.5 + 1.959964 * 0.2])
    assert (low, high) == pytest.approx(tuple(bounds))
    assert axes.lines[-1].get_xdata()[0] == 1

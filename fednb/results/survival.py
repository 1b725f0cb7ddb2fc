"""Fitted heads: a Cox model that reads like lifelines, and a logistic model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fednb.results.evaluation import hanley_mcneil
from fednb.results.heads import HeadResult, design

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fednb.survival.coxph import CoxEstimate
    from fednb.survival.logistic import LogisticEstimate

    Rows = pd.DataFrame | NDArray[np.float64]


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """A likelihood ratio test against the model without covariates.

    Attributes
    ----------
    test_statistic
        Twice the difference of log-likelihoods.
    degrees_freedom
        Number of covariates.
    p_value
        From the chi-squared distribution.
    """

    test_statistic: float
    degrees_freedom: int
    p_value: float


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class CoxResult(HeadResult):
    """The result of a `CoxPlan`; it reads like ``lifelines.CoxPHFitter``.

    Attributes
    ----------
    estimate
        Coefficients in the covariates' own units, covariance, means, likelihoods,
        patients and events.
    duration, event
        Columns of follow-up times and of events.
    strata
        ``"site"``: each site has its own baseline hazard, so there is none for a new
        site, and no baseline to predict survival curves from.
    ties
        ``"efron"`` or ``"breslow"``.
    """

    estimate: CoxEstimate
    duration: str = "time"
    event: str = "event"
    strata: str = "site"
    ties: str = "efron"

    title: ClassVar[str] = "Cox proportional hazards, federated"
    ratio: ClassVar[str] = "HR"
    index_name: ClassVar[str] = "Concordance"

    @property
    def hazard_ratios_(self) -> pd.Series[float]:
        """Exponentials of the coefficients."""
        return self._ratios()

    @property
    def log_likelihood_(self) -> float:
        """Log partial likelihood minus the penalty, as lifelines reports it."""
        return self.estimate.log_likelihood_penalised

    @property
    def AIC_partial_(self) -> float:  # noqa: N802
        """Akaike's criterion from the partial likelihood; the name is lifelines'."""
        return 2 * len(self.estimate.names) - 2 * self.log_likelihood_

    @property
    def concordance_index_(self) -> float:
        """Harrell's C from pairs within sites, on `evaluated_on`; NaN if unknown."""
        return _index(self)

    def log_likelihood_ratio_test(self) -> LikelihoodRatioTest:
        """Test all covariates together against none."""
        from scipy.special import gammaincc

        statistic = 2 * (self.log_likelihood_ - self.estimate.log_likelihood_null)
        p = len(self.estimate.names)
        chance = float(gammaincc(p / 2, max(statistic, 0.0) / 2))
        return LikelihoodRatioTest(statistic, p, chance)

    def predict_log_partial_hazard(self, rows: Rows) -> pd.Series[float]:
        """Return the linear predictor of rows that the caller owns.

        Parameters
        ----------
        rows
            A table with the covariates' columns in any order, or an array of shape
            (n, p) in their order.

        Returns
        -------
        pandas.Series
            Shape (n,); 0 at the covariates' means, higher for an earlier death.

        Raises
        ------
        UnknownNameError
            A covariate is missing.
        """
        import pandas as pd

        values, index = design(rows, self.estimate.names)
        return pd.Series(self.estimate.log_hazard(values), index=index)

    def predict_partial_hazard(self, rows: Rows) -> pd.Series[float]:
        """Return the exponential of `predict_log_partial_hazard`."""
        import pandas as pd

        values, index = design(rows, self.estimate.names)
        return pd.Series(np.exp(self.estimate.log_hazard(values)), index=index)

    def to_lifelines(self) -> Any:  # noqa: ANN401
        """Return this fit as a ``lifelines.CoxPHFitter``.

        Returns
        -------
        lifelines.CoxPHFitter
            With `summary`, `print_summary`, `plot`, `predict_partial_hazard`,
            `predict_log_partial_hazard`, `log_likelihood_ratio_test` and the fitted
            attributes. What needs rows or a baseline hazard is missing: these stay at
            the sites.
        """
        from lifelines import CoxPHFitter
        from lifelines.fitters.coxph_fitter import SemiParametricPHFitter

        given = {
            "penalizer": self.penalizer,
            "strata": self.strata or None,
            "alpha": 1 - self.level,
        }
        model = SemiParametricPHFitter(**given)
        vars(model).update(_lifelines_attributes(self))
        columns = {"duration_col": self.duration, "event_col": self.event}
        fitter = CoxPHFitter(**given)
        vars(fitter).update({**columns, "_model": model})
        return fitter

    # typing.override came with Python 3.12
    def _facts(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        likelihood = f"{self.log_likelihood_:.{decimals}f}"
        facts = dict(super()._facts(decimals))
        del facts["log-likelihood"]
        return [
            ("duration col", self.duration),
            ("event col", self.event),
            ("strata, ties", f"{self.strata or 'none'}, {self.ties}"),
            ("sites", facts.pop("sites")),
            ("number of observations", facts.pop("number of observations")),
            ("number of events observed", self.estimate.events),
            ("partial log-likelihood", likelihood),
            *facts.items(),
        ]

    # typing.override came with Python 3.12
    def _footers(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        test = self.log_likelihood_ratio_test()
        statistic = f"{test.test_statistic:.{decimals}f} on {test.degrees_freedom} df"
        surprise = -math.log2(max(test.p_value, math.ulp(0.0)))
        return [
            *super()._footers(decimals),
            ("Partial AIC", f"{self.AIC_partial_:.{decimals}f}"),
            ("log-likelihood ratio test", statistic),
            ("-log2(p) of ll-ratio test", f"{surprise:.{decimals}f}"),
        ]


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class LogisticResult(HeadResult):
    """The result of a `LogisticPlan`: log odds ratios and their table.

    Attributes
    ----------
    estimate
        Coefficients in the covariates' own units, covariance and likelihood.
    target
        Binary column that is predicted.
    intercept
        Name of the constant column in the estimate.
    positives, negatives
        Rounded numbers of patients behind `pairs`; 0 if unknown.
    """

    estimate: LogisticEstimate
    target: str = "label"
    intercept: str = "intercept"
    positives: int = 0
    negatives: int = 0

    title: ClassVar[str] = "Logistic regression, federated"
    ratio: ClassVar[str] = "OR"
    index_name: ClassVar[str] = "AUC"

    @property
    def odds_ratios_(self) -> pd.Series[float]:
        """Exponentials of the coefficients."""
        return self._ratios()

    @property
    def log_likelihood_(self) -> float:
        """Log-likelihood at the estimate, without the penalty."""
        return self.estimate.log_likelihood

    @property
    def auc(self) -> float:
        """AUC from pairs within sites, on `evaluated_on`; NaN if unknown."""
        return _index(self)

    @property
    def auc_se(self) -> float:
        """Standard error of `auc` (Hanley and McNeil); NaN if unknown."""
        if math.isnan(self.auc):
            return math.nan
        return hanley_mcneil(self.auc, self.positives, self.negatives)

    def predict_probability(self, rows: Rows) -> pd.Series[float]:
        """Return the probability of a 1 for rows that the caller owns.

        Parameters
        ----------
        rows
            A table with the covariates' columns in any order, the intercept left out
            or 1; or an array of shape (n, p), intercept included.

        Returns
        -------
        pandas.Series
            Shape (n,).

        Raises
        ------
        UnknownNameError
            A covariate is missing.
        """
        import pandas as pd

        values, index = design(rows, self.estimate.names, self.intercept)
        half = 0.5 * (values @ self.estimate.coefficients)
        return pd.Series(0.5 * (1 + np.tanh(half)), index=index)

    # typing.override came with Python 3.12
    def _facts(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        return [("target", self.target), *super()._facts(decimals)]


def _index(result: HeadResult) -> float:
    if result.pairs is None or not result.pairs.comparable:
        return math.nan
    return result.pairs.index


def _lifelines_attributes(result: CoxResult) -> dict[str, Any]:
    """Return what ``SemiParametricPHFitter.fit`` would have set.

    lifelines fits from rows and has no constructor from estimates. No value here stands
    for a patient: the two weighted rows carry the numbers of events and of censored.
    """
    import pandas as pd
    from lifelines.utils import CensoringType, CovariateParameterMappings

    fit = result.estimate
    names = list(fit.names)
    columns = pd.DataFrame(columns=names)
    means = pd.Series(fit.center, index=names)
    return {
        "duration_col": result.duration,
        "event_col": result.event,
        "weights_col": None,
        "entry_col": None,
        "cluster_col": None,
        "entries": None,
        "formula": None,
        "robust": False,
        "regressors": CovariateParameterMappings(
            {"beta_": None}, columns, force_no_intercept=True
        ),
        "params_": result.params_,
        "variance_matrix_": result.variance_matrix_,
        "standard_errors_": result.standard_errors_,
        "confidence_intervals_": result.confidence_intervals_,
        "log_likelihood_": result.log_likelihood_,
        "event_observed": pd.Series([1, 0]),
        "weights": pd.Series([float(fit.events), float(fit.n - fit.events)]),
        "_n_examples": fit.n,
        "_norm_mean": means,
        "_central_values": means.to_frame().T,
        "_ll_null_": fit.log_likelihood_null,
        "_concordance_index_": result.concordance_index_,
        "_censoring_type": CensoringType.RIGHT,
        "_time_fit_was_called": "at the sites, by fednb",
        "timeline": np.empty(0),
    }

"""A fitted logistic head: log odds ratios and chances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fednb.results.evaluation import hanley_mcneil
from fednb.results.heads import HeadResult

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fednb.survival.logistic import LogisticEstimate

    Rows = pd.DataFrame | NDArray[np.float64]


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
        return within_sites(self)

    @property
    def auc_se(self) -> float:
        """Standard error of `auc`; NaN if unknown.

        DeLong's within each site; of a fit from before sites told it, Hanley and
        McNeil's.
        """
        if math.isnan(self.auc) or math.isfinite(self.index_se):
            return self.index_se
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

        values, index = self._values(rows, self._constant())
        half = 0.5 * (values @ self.estimate.coefficients)
        return pd.Series(0.5 * (1 + np.tanh(half)), index=index)

    # typing.override came with Python 3.12
    def _constant(self) -> str:  # type: ignore[explicit-override]
        return self.intercept

    # typing.override came with Python 3.12
    def _facts(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        return [("target", self.target), *super()._facts(decimals)]


def within_sites(result: HeadResult) -> float:
    """Return C or AUC from pairs within sites; NaN without an evaluation."""
    if result.pairs is None or not result.pairs.comparable:
        return math.nan
    return result.pairs.index

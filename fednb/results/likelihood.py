"""The likelihood ratio test of a fit against the model without covariates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fednb.survival.chisquared import chi_squared_tail


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

    @classmethod
    def of(cls, fitted: float, null: float, covariates: int) -> Self:
        """Return the test of a fit.

        Parameters
        ----------
        fitted, null
            Log-likelihoods with the covariates and without.
        covariates
            Their number, at least 1.
        """
        statistic = 2 * (fitted - null)
        chance = chi_squared_tail(max(statistic, 0.0), covariates)
        return cls(statistic, covariates, chance)

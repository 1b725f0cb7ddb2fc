"""The log-rank test of any number of groups, from sums.

Sources: Mantel 1966; Peto and Peto 1972. Observed less expected deaths and their
covariance are sums over strata, so that sites add up to the test stratified by site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fednb.errors import InputError
from fednb.survival.chisquared import chi_squared_tail

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats

_FLAT = 1e-9
"""Variance, relative to the largest, below which a group was never at risk."""


@dataclass(frozen=True, eq=False)
class LogRankSums:
    """What the test is made of; sums of disjoint strata add up.

    Parameters
    ----------
    excess
        Observed less expected deaths of each group, shape (G,).
    covariance
        Hypergeometric, shape (G, G).
    """

    excess: Floats
    covariance: Floats

    def __add__(self, other: LogRankSums) -> LogRankSums:
        return LogRankSums(
            self.excess + other.excess, self.covariance + other.covariance
        )

    def to_vector(self) -> Floats:
        """Return the excess, then the covariance's upper triangle row by row."""
        upper = self.covariance[np.triu_indices(self.excess.size)]
        return np.concatenate([self.excess, upper])

    @classmethod
    def from_vector(cls, vector: Floats, groups: int) -> Self:
        """Read the layout of `to_vector`; shape (G + G (G + 1) / 2,).

        Raises
        ------
        InputError
            The length does not fit the groups.
        """
        if vector.shape != (logrank_size(groups),):
            message = (
                f"A vector of shape {vector.shape} does not hold a log-rank test of "
                f"{groups} groups: {logrank_size(groups)} numbers are expected."
            )
            raise InputError(message)
        upper = np.zeros((groups, groups))
        upper[np.triu_indices(groups)] = vector[groups:]
        return cls(vector[:groups].copy(), upper + np.triu(upper, 1).T)


@dataclass(frozen=True)
class LogRankTest:
    """A test that all groups have the same hazard.

    Attributes
    ----------
    test_statistic
        Chi-squared.
    degrees_freedom
        Groups that were compared, less 1; 0 where there was nothing to compare (one
        group, or no deaths), and then the p value is 1.
    p_value
        Chance of a larger statistic.
    """

    test_statistic: float
    degrees_freedom: int
    p_value: float


def logrank_size(groups: int) -> int:
    """Return the length of `LogRankSums.to_vector`."""
    return groups + groups * (groups + 1) // 2


def logrank_sums(deaths: npt.ArrayLike, at_risk: npt.ArrayLike) -> LogRankSums:
    """Return the sums of one stratum.

    Parameters
    ----------
    deaths
        By group and interval, shape (G, J); need not be whole.
    at_risk
        Likewise.

    Raises
    ------
    InputError
        Shapes differ, a count is negative, or more die than are at risk.
    """
    died = np.asarray(deaths, dtype=np.float64)
    risk = np.asarray(at_risk, dtype=np.float64)
    wrong = died.ndim != 2 or died.shape != risk.shape
    if wrong or (died < 0).any() or (died > risk).any():
        message = (
            f"Deaths of shape {died.shape} and numbers at risk of shape {risk.shape} "
            "need one row a group, and no more deaths than patients at risk."
        )
        raise InputError(message)
    total, events = risk.sum(axis=0), died.sum(axis=0)
    share = np.divide(risk, total, out=np.zeros_like(risk), where=total > 0)
    excess = (died - events * share).sum(axis=1)
    spread = np.divide(
        events * (total - events),
        total - 1,
        out=np.zeros_like(total),
        where=total > 1,
    )
    crossed = (share * spread) @ share.T
    covariance = np.diag(share @ spread) - crossed
    return LogRankSums(excess, 0.5 * (covariance + covariance.T))


def logrank_test(sums: LogRankSums) -> LogRankTest:
    """Test groups against each other.

    Parameters
    ----------
    sums
        Over all strata. Groups that were never at risk together with another one are
        left out.
    """
    variance = np.diagonal(sums.covariance)
    largest = float(variance.max(initial=0.0))
    kept = np.flatnonzero(variance > _FLAT * largest)
    # rows of the covariance sum to 0: one group follows from the others
    kept = kept[:-1]
    if not kept.size:
        return LogRankTest(0.0, 0, 1.0)
    excess = sums.excess[kept]
    within = sums.covariance[np.ix_(kept, kept)]
    rank = int(np.linalg.matrix_rank(within, tol=_FLAT * largest, hermitian=True))
    inverse = np.linalg.pinv(within, rcond=_FLAT, hermitian=True)
    statistic = max(float(excess @ inverse @ excess), 0.0)
    return LogRankTest(statistic, rank, chi_squared_tail(statistic, rank))

"""Cox proportional hazards from sums: the fit and its estimate.

Every element of the list of risk sets is one part of the sum (a site), with its own
risk sets, which is the site-stratified partial likelihood.

Sources: Cox 1972; ridge penalty as in lifelines' ``CoxPHFitter(penalizer=...)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.linear import linear
from fednb.survival.newton import (
    NewtonOptions,
    covariance,
    maximise,
    penalised_log_likelihood,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fednb.survival.newton import NewtonState
    from fednb.survival.riskset import RiskSets, Ties
    from fednb.survival.sums import Floats, LikelihoodSums


@dataclass(frozen=True, eq=False)
class CoxEstimate:
    """A fitted Cox model.

    Parameters
    ----------
    names
        Columns, p of them.
    coefficients
        Log hazard ratios, shape (p,).
    covariance
        (I + lambda)^-1 at the estimate, shape (p, p).
    center
        Covariates at which the linear predictor is 0, shape (p,).
    log_likelihood
        Log partial likelihood at the estimate, without the penalty.
    log_likelihood_penalised
        The same minus the penalties (what lifelines reports).
    log_likelihood_null
        Log partial likelihood at 0.
    n, events
        Patients and deaths.
    evaluations
        Evaluations of the sums that the fit took.
    """

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    center: Floats
    log_likelihood: float
    log_likelihood_penalised: float
    log_likelihood_null: float
    n: int
    events: int
    evaluations: int

    @property
    def standard_errors(self) -> Floats:
        """Square roots of the covariance's diagonal, shape (p,)."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def hazard_ratios(self) -> Floats:
        """Exponentials of the coefficients, shape (p,)."""
        return np.exp(self.coefficients)

    def log_hazard(self, x: npt.ArrayLike) -> Floats:
        """Linear predictor: higher means an earlier death.

        Parameters
        ----------
        x
            Covariates in the units of the coefficients, shape (n, p).

        Returns
        -------
        numpy.ndarray
            Shape (n,), 0 at `center`.
        """
        values = np.asarray(x, dtype=np.float64)
        return linear(values - self.center, self.coefficients)

    def rescale(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> CoxEstimate:
        """Turn a fit on standardised columns into one on the original units.

        Parameters
        ----------
        mean, std
            Of each column, shape (p,): the fit saw ``(x - mean) / std``. ``std`` > 0.

        Returns
        -------
        CoxEstimate
            Coefficients a unit of x; likelihoods do not change.

        Raises
        ------
        InputError
            If a shape differs or a standard deviation is not positive.
        """
        means = np.asarray(mean, dtype=np.float64)
        stds = np.asarray(std, dtype=np.float64)
        p = len(self.names)
        if means.shape != (p,) or stds.shape != (p,) or not (stds > 0).all():
            message = f"{p} means and as many positive standard deviations are needed."
            raise InputError(message)
        return replace(
            self,
            coefficients=self.coefficients / stds,
            covariance=self.covariance / stds[:, None] / stds,
            center=means + stds * self.center,
        )


def lifelines_penalty(penalizer: float, n: int) -> float:
    """Ridge that equals lifelines' penalizer with ``l1_ratio=0``; l1 scales alike.

    Parameters
    ----------
    penalizer
        As given to ``CoxPHFitter``, at least 0.
    n
        Patients in the fit.

    Returns
    -------
    float
        lambda = penalizer x n, on columns standardised with ddof 1.

    Raises
    ------
    InputError
        If ``penalizer`` is negative or ``n`` below 1.
    """
    if not penalizer >= 0 or n < 1:
        message = f"penalizer={penalizer} and n={n}: at least 0 and 1 are needed."
        raise InputError(message)
    return penalizer * n


def estimate(
    state: NewtonState,
    options: NewtonOptions,
    *,
    names: Sequence[str],
    n: int,
    events: int,
) -> CoxEstimate:
    """Read the estimate off a converged fit.

    Parameters
    ----------
    state
        Converged.
    options
        Those of the fit.
    names
        Columns.
    n, events
        Patients and deaths behind the sums.

    Raises
    ------
    FitError
        If the fit has not converged.
    """
    sums, beta, null_sums = state.sums, state.accepted, state.null_sums
    if not state.converged or sums is None or beta is None or null_sums is None:
        message = (
            f"The fit has not converged after {state.evaluations} evaluations; "
            "continue it before reading an estimate."
        )
        raise FitError(message)
    return CoxEstimate(
        names=tuple(names),
        coefficients=beta,
        covariance=covariance(sums, options, beta),
        center=np.zeros(beta.size),
        log_likelihood=sums.log_likelihood,
        log_likelihood_penalised=penalised_log_likelihood(beta, sums, options),
        log_likelihood_null=null_sums.log_likelihood,
        n=n,
        events=events,
        evaluations=state.evaluations,
    )


def fit(
    risk_sets: Sequence[RiskSets],
    options: NewtonOptions | None = None,
    names: Sequence[str] = (),
    *,
    ties: Ties = "efron",
) -> CoxEstimate:
    """Fit a Cox model where the risk sets are at hand.

    Parameters
    ----------
    risk_sets
        One a site, each with its own strata; at least one. With
        ``options.precision`` > 0 each one's sums are rounded before they are added.
    options
        None: `NewtonOptions` without penalty or rounding.
    names
        Columns; ``x0``, ``x1``, ... where empty.
    ties
        ``"efron"`` or ``"breslow"``.

    Raises
    ------
    FitError
        If there are no events, the design is rank-deficient or separated, or the fit
        does not converge.
    InputError
        If there are no risk sets, or they differ in their columns from each other or
        from ``names``.
    """
    if not risk_sets or len({part.p for part in risk_sets}) != 1:
        message = "Risk sets of one design, at least one of them, are needed."
        raise InputError(message)
    p = risk_sets[0].p
    labels = tuple(names) or tuple(f"x{j}" for j in range(p))
    if len(labels) != p:
        message = f"{len(labels)} names were given for {p} columns."
        raise InputError(message)
    chosen = replace(options or NewtonOptions(), parts=len(risk_sets))

    def evaluate(beta: Floats) -> LikelihoodSums:
        parts = [part.sums(beta, ties).rounded(chosen.precision) for part in risk_sets]
        return reduce(add, parts)

    state = maximise(evaluate, p, chosen, labels)
    n = sum(part.n for part in risk_sets)
    events = sum(part.events for part in risk_sets)
    return estimate(state, chosen, names=labels, n=n, events=events)

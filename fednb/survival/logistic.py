"""Logistic regression from sums, on the Newton steps of the Cox fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.newton import NewtonOptions, covariance, maximise
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class LogisticEstimate:
    """A fitted logistic regression.

    Parameters
    ----------
    names
        Columns, p of them, the intercept included where the design has one.
    coefficients
        Log odds ratios, shape (p,).
    covariance
        (I + lambda)^-1 at the estimate, shape (p, p).
    log_likelihood
        At the estimate, without the penalty.
    n
        Patients.
    evaluations
        Evaluations of the sums that the fit took.
    """

    names: tuple[str, ...]
    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    n: int
    evaluations: int

    @property
    def standard_errors(self) -> Floats:
        """Square roots of the covariance's diagonal, shape (p,)."""
        return np.sqrt(np.diagonal(self.covariance))


def logistic_sums(
    x: npt.ArrayLike, y: npt.ArrayLike, beta: npt.ArrayLike
) -> LikelihoodSums:
    """Score, information and log-likelihood of one site.

    Parameters
    ----------
    x
        Design with an intercept column where one is wanted, shape (n, p), finite.
    y
        Outcome 0 or 1, shape (n,).
    beta
        Shape (p,), finite.

    Raises
    ------
    InputError
        If shapes do not fit, a value is not finite or an outcome is not 0 or 1.
    """
    design = np.asarray(x, dtype=np.float64)
    outcome = np.asarray(y, dtype=np.float64)
    b = np.asarray(beta, dtype=np.float64)
    fits = design.ndim == 2 and (outcome.shape, b.shape) == (
        design.shape[:1],
        design.shape[1:],
    )
    if not fits or not (np.isfinite(design).all() and np.isfinite(b).all()):
        message = (
            f"A finite design of n x p, n outcomes and p coefficients are needed; "
            f"seen: {design.shape}, {outcome.shape} and {b.shape}."
        )
        raise InputError(message)
    if not np.isin(outcome, (0.0, 1.0)).all():
        message = "Outcomes must be 0 or 1; recode the column."
        raise InputError(message)
    sign = 2.0 * outcome - 1.0
    margin = sign * (design @ b)
    # exp of a negative number only: no overflow, and no cancellation in 1 - p
    small = np.exp(-np.abs(margin))
    miss = np.where(margin >= 0, small, 1.0) / (1.0 + small)
    variance = small / (1.0 + small) ** 2
    information = (design * variance[:, None]).T @ design
    log_likelihood = -float(np.sum(np.maximum(-margin, 0.0) + np.log1p(small)))
    return LikelihoodSums(
        design.T @ (sign * miss),
        0.5 * (information + information.T),
        log_likelihood,
    )


def fit(
    parts: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    options: NewtonOptions | None = None,
    names: Sequence[str] = (),
) -> LogisticEstimate:
    """Fit a logistic regression where the rows are at hand.

    Parameters
    ----------
    parts
        Design and outcome of each site, at least one; see `logistic_sums`.
    options
        None: `NewtonOptions` without penalty or rounding. Give a tuple of ridges to
        leave the intercept unpenalised.
    names
        Columns; ``x0``, ``x1``, ... where empty.

    Raises
    ------
    FitError
        If the design is rank-deficient or separated, or the fit does not converge.
    InputError
        If there are no parts, or a part does not fit the design.
    """
    if not parts:
        message = "At least one site's design and outcome are needed."
        raise InputError(message)
    sizes = [np.shape(x) for x, _ in parts]
    p = sizes[0][-1]
    labels = tuple(names) or tuple(f"x{j}" for j in range(p))
    if len(labels) != p:
        message = f"{len(labels)} names were given for {p} columns."
        raise InputError(message)
    chosen = replace(options or NewtonOptions(), parts=len(parts))

    def evaluate(beta: Floats) -> LikelihoodSums:
        each = [logistic_sums(x, y, beta).rounded(chosen.precision) for x, y in parts]
        return reduce(add, each)

    state = maximise(evaluate, p, chosen, labels)
    sums = state.sums or LikelihoodSums.zero(p)
    return LogisticEstimate(
        names=labels,
        coefficients=state.trial,
        covariance=covariance(sums, chosen),
        log_likelihood=sums.log_likelihood,
        n=sum(size[0] for size in sizes),
        evaluations=state.evaluations,
    )

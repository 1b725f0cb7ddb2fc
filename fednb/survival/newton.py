"""Newton's method as a state machine, run alike by the coordinator and every site.

``start`` proposes a trial point; whoever holds the sums at that point calls ``update``
and gets the next trial. Both are pure, and every operation on which the next trial
depends gives the same bits on every machine, so that a site can re-derive each value
the coordinator announces and refuse any other (disclosure rule 19).

b <- b + (I + lambda)^-1 (U - lambda b), halved while the penalised log-likelihood
falls; with an l1 penalty the step is that of `fednb.survival.lasso`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.cholesky import dot, factorise
from fednb.survival.lasso import proximal_step
from fednb.survival.newton_options import NewtonOptions
from fednb.survival.refusals import (
    check_first,
    label,
    rank_message,
    separation_message,
)
from fednb.survival.separation import lost_columns, share_left

__all__ = [
    "NewtonOptions",
    "NewtonState",
    "covariance",
    "maximise",
    "penalised_log_likelihood",
    "start",
    "update",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fednb.survival.cholesky import Factor
    from fednb.survival.sums import Floats, LikelihoodSums


@dataclass(frozen=True, eq=False)
class NewtonState:
    """Where a fit stands.

    Parameters
    ----------
    trial
        Coefficients at which the sums are wanted next; the accepted ones once
        converged. Shape (p,).
    accepted
        Best coefficients so far, shape (p,); None before the first evaluation.
    sums
        Sums at ``accepted``.
    null_sums
        Sums at the starting value 0.
    evaluations
        Evaluations used.
    halvings
        Halvings since the last accepted step.
    converged
        Whether the fit is finished.
    step_norm
        Length of the next full step in standard errors; infinite at the start.
    """

    trial: Floats
    accepted: Floats | None = None
    sums: LikelihoodSums | None = None
    null_sums: LikelihoodSums | None = None
    evaluations: int = 0
    halvings: int = 0
    converged: bool = False
    step_norm: float = math.inf


def start(p: int) -> NewtonState:
    """Begin a fit at 0.

    Parameters
    ----------
    p
        Number of columns, at least 1.

    Raises
    ------
    InputError
        If ``p`` is below 1.
    """
    if p < 1:
        message = f"A fit needs at least one column; {p} were given."
        raise InputError(message)
    return NewtonState(trial=np.zeros(p))


def update(
    state: NewtonState,
    sums: LikelihoodSums,
    options: NewtonOptions,
    names: Sequence[str] = (),
) -> NewtonState:
    """Use the sums at ``state.trial`` to find the next trial.

    Parameters
    ----------
    state
        From `start` or the previous `update`, not converged.
    sums
        Totals over all sites at ``state.trial``.
    options
        As the contract fixes them.
    names
        Column names for messages; column numbers where empty.

    Raises
    ------
    FitError
        If there are no events, the information matrix is rank-deficient, a coefficient
        diverges (separation), or the evaluations run out.
    InputError
        If the sums have another number of columns, or the fit has converged.
    """
    if state.converged or sums.score.shape != state.trial.shape:
        message = (
            f"Sums of {sums.score.size} columns do not continue a fit of "
            f"{state.trial.size} columns (converged: {state.converged})."
        )
        raise InputError(message)
    state = replace(state, evaluations=state.evaluations + 1)
    if state.accepted is None:
        check_first(sums)
        state = replace(state, null_sums=sums)
    elif _falls(state, sums, options):
        middle = state.accepted + 0.5 * (state.trial - state.accepted)
        state = replace(state, trial=middle, halvings=state.halvings + 1)
        return _check_budget(state, options, names)
    return _advance(state, sums, options, names)


def maximise(
    evaluate: Callable[[Floats], LikelihoodSums],
    p: int,
    options: NewtonOptions,
    names: Sequence[str] = (),
) -> NewtonState:
    """Run a fit to the end where the sums are at hand.

    Parameters
    ----------
    evaluate
        Sums at given coefficients of shape (p,).
    p
        Number of columns.
    options, names
        As for `update`.

    Raises
    ------
    FitError
        As for `update`.
    """
    state = start(p)
    while not state.converged:
        state = update(state, evaluate(state.trial), options, names)
    return state


def covariance(
    sums: LikelihoodSums, options: NewtonOptions, beta: Floats | None = None
) -> Floats:
    """Covariance of the estimate, (I + lambda)^-1.

    Parameters
    ----------
    sums
        At the estimate.
    options
        Those of the fit.
    beta
        The estimate, shape (p,): coefficients that an l1 penalty holds at 0 have no
        variance, and the others theirs in a fit without them. None: all vary.

    Raises
    ------
    FitError
        If the information matrix is rank-deficient.
    """
    matrix = _penalised(sums, options)
    free = np.arange(sums.score.size)
    if beta is not None:
        free = np.flatnonzero((beta != 0) | (options.shrinkage(beta.size) == 0))
    found = np.zeros_like(matrix)
    if free.size:
        inside = np.ix_(free, free)
        factor = factorise(matrix[inside], floor=options.floor(sums.score.size))
        if factor is None:
            raise FitError(_deficient(sums, options, ()))
        found[inside] = factor.inverse()
    return found


def penalised_log_likelihood(
    beta: Floats, sums: LikelihoodSums, options: NewtonOptions
) -> float:
    """Log-likelihood minus half of lambda b^2 and minus l1 |b|.

    Parameters
    ----------
    beta
        Coefficients, shape (p,).
    sums
        Sums at ``beta``.
    options
        Those of the fit.
    """
    penalty = options.penalty(beta.size)
    absolute = dot(options.shrinkage(beta.size), np.abs(beta))
    return sums.log_likelihood - 0.5 * dot(penalty * beta, beta) - absolute


def _falls(state: NewtonState, sums: LikelihoodSums, options: NewtonOptions) -> bool:
    """Whether the penalised log-likelihood falls by more than rounding explains."""
    if state.accepted is None or state.sums is None:
        return False
    if not sums.is_finite:
        return True
    before = penalised_log_likelihood(state.accepted, state.sums, options)
    after = penalised_log_likelihood(state.trial, sums, options)
    slack = 1e-12 * (1 + abs(before)) + options.parts * options.precision
    return after < before - slack


def _penalised(sums: LikelihoodSums, options: NewtonOptions) -> Floats:
    return sums.information + np.diag(options.penalty(sums.score.size))


def _factor(sums: LikelihoodSums, options: NewtonOptions) -> Factor | None:
    return factorise(_penalised(sums, options), floor=options.floor(sums.score.size))


def _advance(
    state: NewtonState,
    sums: LikelihoodSums,
    options: NewtonOptions,
    names: Sequence[str],
) -> NewtonState:
    """Accept the trial and propose the next full step."""
    factor = _factor(sums, options)
    if factor is None:
        if state.accepted is None or _alike(state, options):
            raise FitError(_deficient(sums, options, names))
        raise FitError(_separated(state.trial - state.accepted, state, names))
    beta = state.trial
    gradient = sums.score - options.penalty(beta.size) * beta
    step, norm = _full_step(factor, gradient, sums, beta, options)
    share = _share_left(step, state, sums, options)
    if share < 1e-4:
        raise FitError(_separated(step, state, names))
    done = share >= 0.1 and _resolved(norm, state, factor, options)
    if done:
        _check_lost(factor, state, sums, options, names)
    following = NewtonState(
        trial=beta if done else beta + step,
        accepted=beta,
        sums=sums,
        null_sums=state.null_sums,
        evaluations=state.evaluations,
        converged=done,
        step_norm=norm,
    )
    if share < 0.1 and following.evaluations >= options.max_evaluations:
        raise FitError(_separated(step, state, names))
    return _check_budget(following, options, names)


def _alike(state: NewtonState, options: NewtonOptions) -> bool:
    """Whether rounding hid what columns had of their own from the start.

    Then it is no separation where it takes their information away.
    """
    if options.precision == 0 or state.null_sums is None:
        return False
    factor = _factor(state.null_sums, options)
    if factor is None:
        return True
    alone = 1.0 / np.diagonal(factor.inverse())
    return bool((alone <= 5 * options.noise(state.null_sums.score.size)).any())


def _deficient(
    sums: LikelihoodSums, options: NewtonOptions, names: Sequence[str]
) -> str:
    matrix = _penalised(sums, options)
    return rank_message(matrix, names, rounded=options.rounds)


def _full_step(
    factor: Factor,
    gradient: Floats,
    sums: LikelihoodSums,
    beta: Floats,
    options: NewtonOptions,
) -> tuple[Floats, float]:
    """Return the next full step and its length in standard errors."""
    lasso = options.shrinkage(beta.size)
    if not lasso.any():
        step = factor.solve(gradient)
        return step, math.sqrt(max(dot(gradient, step), 0.0))
    matrix = _penalised(sums, options)
    step = proximal_step(matrix, gradient, beta, lasso)
    square = math.fsum((matrix * (step[:, None] * step)).ravel().tolist())
    return step, math.sqrt(max(square, 0.0))


def _share_left(
    step: Floats, state: NewtonState, sums: LikelihoodSums, options: NewtonOptions
) -> float:
    if state.accepted is None or state.null_sums is None:
        return 1.0
    return share_left(
        step,
        state.trial - state.accepted,
        _penalised(state.null_sums, options),
        _penalised(sums, options),
    )


def _check_lost(
    factor: Factor,
    state: NewtonState,
    sums: LikelihoodSums,
    options: NewtonOptions,
    names: Sequence[str],
) -> None:
    if options.precision == 0 or state.null_sums is None:
        return
    initial = _penalised(state.null_sums, options)
    lost = lost_columns(
        factor, initial, _penalised(sums, options), 5 * options.noise(sums.score.size)
    )
    if lost.any():
        raise FitError(_separated(np.where(lost, state.trial, 0.0), state, names))


def _resolved(
    norm: float, state: NewtonState, factor: Factor, options: NewtonOptions
) -> bool:
    """Whether the sums cannot tell the next step, in standard errors, from none.

    Newton's steps shrink quadratically; a short one that is not shorter than half the
    last is the rounding's own.
    """
    if norm <= options.tolerance or options.precision == 0:
        return norm <= options.tolerance
    trace = math.fsum(np.diagonal(factor.inverse()).tolist())
    noise = options.precision * math.sqrt((1 + options.parts / 12) * trace)
    stalled = state.halvings == 0 and norm >= 0.5 * state.step_norm
    return norm <= (4 * noise if stalled else noise)


def _check_budget(
    state: NewtonState, options: NewtonOptions, names: Sequence[str]
) -> NewtonState:
    if state.converged or state.evaluations < options.max_evaluations:
        return state
    worst = 0 if state.accepted is None else _largest(state.trial - state.accepted)
    message = (
        f"The fit did not converge in {options.max_evaluations} evaluations: the next "
        f"step is {state.step_norm:.3g} standard errors, largest for "
        f"{label(worst, names)}. Standardise the columns, add a ridge penalty, or use "
        "fewer columns."
    )
    raise FitError(message)


def _largest(step: Floats) -> int:
    return int(np.argmax(np.abs(step)))


def _separated(step: Floats, state: NewtonState, names: Sequence[str]) -> str:
    information = np.zeros((step.size, step.size))
    if state.null_sums is not None:
        information = state.null_sums.information
    return separation_message(step, information, state.evaluations, names)

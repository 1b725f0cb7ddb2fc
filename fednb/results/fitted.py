"""From where a head's rounds ended to its result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from fednb.errors import FitError, RunError
from fednb.privacy.metrics import share_error
from fednb.records.heads import HEAD_METRICS
from fednb.results.baseline import Baseline
from fednb.results.survival import CoxResult, LogisticResult
from fednb.survival.concordance import PairCounts
from fednb.survival.coxph import estimate
from fednb.survival.grid import baseline, draws
from fednb.survival.logistic import LogisticEstimate
from fednb.survival.newton import covariance
from fednb.survival.ph_test import PhSums, ph_test
from fednb.survival.rounding import rounding_covariance, variance_noise, widened
from fednb.survival.sandwich import sandwich

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.records.heads import CoxPlan, HeadPlan, LogisticPlan
    from fednb.results.parts import Origin
    from fednb.survival.formula import Terms
    from fednb.survival.moments import Standardisation
    from fednb.survival.newton import NewtonOptions, NewtonState
    from fednb.survival.ph_test import PhTest
    from fednb.survival.protocol import HeadDesign, HeadState
    from fednb.survival.sums import LikelihoodSums

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Fit:
    """A converged fit on standardised columns."""

    newton: NewtonState
    options: NewtonOptions
    scale: Standardisation
    sums: LikelihoodSums

    @property
    def beta(self) -> Floats:
        return self.newton.trial

    def model(self) -> Floats:
        return covariance(self.sums, self.options, self.beta)

    def blur(self) -> Floats:
        """Return what rounding does to each variance, as a share of it."""
        return variance_noise(self.model(), self.options)

    def noise(self) -> Floats:
        """Return what rounding adds to the covariance (disclosure rule 20)."""
        return rounding_covariance(self.sums, self.options, self.beta)


class _Fields(TypedDict):
    """The fields of a `HeadResult` that every head fills alike."""

    penalizer: float
    l1_ratio: float
    terms: Terms | None
    pairs: PairCounts | None
    index_se: float
    evaluated_on: str
    precision_shift: float
    shifts: dict[str, Floats]


def cox_result(
    plan: CoxPlan, design: HeadDesign, state: HeadState, origin: Origin
) -> CoxResult:
    """Return the result of a Cox head.

    Parameters
    ----------
    plan, design
        What was asked, and what the contract fixed of it.
    state
        Where the rounds ended.
    origin
        Of the numbers.

    Raises
    ------
    RunError
        The fit has not ended.
    """
    fit = _read(state)
    fitted = estimate(
        fit.newton,
        fit.options,
        names=state.names(design),
        n=state.n,
        events=state.events,
    )
    noise, blur = fit.noise(), fit.blur()
    model = widened(fitted.covariance + noise, blur)
    errors = model
    if state.meat is not None:
        # the inverse stands on either side of the meat
        errors = widened(sandwich(fitted.covariance, state.meat) + noise, 2 * blur)
    std = fit.scale.std
    return CoxResult(
        estimate=replace(fitted, covariance=errors).rescale(fit.scale.mean, std),
        model_covariance=model / std[:, None] / std,
        robust=plan.robust,
        duration=plan.duration,
        event=plan.event,
        strata=", ".join(plan.strata),
        ties=plan.ties,
        baseline=_baseline(design, state),
        ph_test=_ph_test(state, fitted.names),
        steps=design.cox.steps.only(state.kept) if design.cox.steps else None,
        **_fields(plan, design, state, fit, errors),
        **origin,
    )


def logistic_result(
    plan: LogisticPlan, design: HeadDesign, state: HeadState, origin: Origin
) -> LogisticResult:
    """Return the result of a logistic head; see `cox_result`."""
    fit = _read(state)
    metrics = state.metrics if state.metrics is not None else np.zeros(5)
    positives = round(float(metrics[1]))
    p = len(fit.scale.mean)
    back = np.zeros((p + 1, p + 1))
    back[:p, :p] = np.diag(1 / fit.scale.std)
    back[p, :p] = -fit.scale.mean / fit.scale.std
    back[p, p] = 1.0
    spread = widened(fit.model() + fit.noise(), fit.blur())
    fitted = LogisticEstimate(
        names=state.names(design),
        coefficients=back @ fit.beta,
        covariance=back @ spread @ back.T,
        log_likelihood=fit.sums.log_likelihood,
        n=state.n,
        evaluations=fit.newton.evaluations,
    )
    return LogisticResult(
        estimate=fitted,
        target=plan.target,
        positives=positives,
        negatives=round(float(metrics[0])) - positives,
        **_fields(plan, design, state, fit, spread),
        **origin,
    )


def _fields(
    plan: HeadPlan, design: HeadDesign, state: HeadState, fit: _Fit, errors: Floats
) -> _Fields:
    """Return what Cox and logistic results share, for a covariance of errors."""
    return {
        "penalizer": plan.penalizer,
        "l1_ratio": plan.l1_ratio,
        "terms": design.terms,
        "pairs": _pairs(state.metrics),
        "index_se": _index_se(state.metrics),
        "evaluated_on": plan.evaluate_on,
        "precision_shift": _shift(fit),
        "shifts": _shifts(fit, state, errors),
    }


def _ph_test(state: HeadState, names: tuple[str, ...]) -> PhTest | None:
    if state.ph is None:
        return None
    return ph_test(PhSums.from_vector(state.ph, len(names)), names)


def _read(state: HeadState) -> _Fit:
    newton, options, scale = state.newton, state.options, state.scale
    if newton is None or newton.sums is None or options is None or scale is None:
        message = "The fit has not run."
        raise RunError(message)
    return _Fit(newton, options, scale, newton.sums)


def _pairs(metrics: Floats | None) -> PairCounts | None:
    if metrics is None:
        return None
    concordant, tied, comparable = (round(float(v)) for v in metrics[2:5])
    return PairCounts(concordant, tied, comparable)


def _index_se(metrics: Floats | None) -> float:
    """Return the standard error of the share of pairs; runs from before have none."""
    if metrics is None or metrics.size < HEAD_METRICS:
        return math.nan
    return share_error(float(metrics[5]), float(metrics[4]))


def _in_errors(moved: Floats, variance: Floats) -> Floats:
    """Return distances in standard errors; 0 where a coefficient does not vary."""
    error = np.sqrt(np.diagonal(variance))
    return np.divide(moved, error, out=np.zeros_like(moved), where=error > 0)


def _shift(fit: _Fit) -> float:
    """Return the largest shift that rounding may cause, in standard errors."""
    if not fit.options.precision:
        return 0.0
    noise = np.sqrt(np.diagonal(fit.noise()))
    return float(np.max(_in_errors(noise, fit.model())))


def _shifts(fit: _Fit, state: HeadState, errors: Floats) -> dict[str, Floats]:
    """Return what rounding and intervals did to each coefficient, in its errors."""
    found = {}
    if fit.options.precision:
        found["rounding"] = _in_errors(np.sqrt(np.diagonal(fit.noise())), errors)
        # of a standard error, half as much as of its square
        found["errors"] = fit.blur() / 2
    if state.ungrouped is not None:
        step = _towards(fit, state.ungrouped)
        if step is not None:
            found["intervals"] = _in_errors(-step, errors)
    return found


def _towards(fit: _Fit, ungrouped: LikelihoodSums) -> Floats | None:
    """Return one Newton step to the fit on ungrouped times, stratified by site.

    None where that fit has no information of its own, as for a column that is constant
    within every site.
    """
    try:
        inverse = covariance(ungrouped, fit.options, fit.beta)
    except FitError:
        return None
    p = fit.beta.size
    slope = ungrouped.score - fit.options.penalty(p) * fit.beta
    slope = slope - fit.options.shrinkage(p) * np.sign(fit.beta)
    return np.asarray(inverse @ slope)


def _baseline(design: HeadDesign, state: HeadState) -> Baseline | None:
    """Return the cumulative baseline hazard at the covariates' means, by both ties."""
    cox, deaths = design.cox, state.deaths
    if deaths is None or not deaths.size:
        return None
    if state.pooled is not None and not cox.by_site:
        s0, d0, weight = state.pooled.s0, state.pooled.d0, state.pooled.weight
    elif state.baseline is not None:
        s0, d0, weight = np.split(state.baseline, 3)
    else:
        return None
    width = len(cox.grid)
    return Baseline(
        ends=cox.grid,
        breslow=baseline(draws(s0, d0, weight, deaths, "breslow"), width),
        efron=baseline(draws(s0, d0, weight, deaths, "efron"), width),
        strata=cox.strata,
        levels=cox.levels,
        labels=cox.labels(),
    )

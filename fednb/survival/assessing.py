"""From a contract to the design of an assessment, and from a fit to a fixed model."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import msgspec
import numpy as np

from fednb.errors import InputError, PlanError
from fednb.records.assessment import FixedModel, default_times
from fednb.records.formula import term_text
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.assessment import AssessmentDesign
from fednb.survival.formula import column_bounds, terms_of
from fednb.survival.protocol import SECURE_STEP, design_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fednb.records.assessment import AssessmentPlan
    from fednb.records.contracts import Contract
    from fednb.records.datasets import Column
    from fednb.survival.formula import Terms
    from fednb.survival.protocol import HeadDesign, HeadState
    from fednb.survival.sums import Floats


class Written(TypedDict):
    """Fields of a `FixedModel` that say how the table's columns come into it."""

    covariates: tuple[str, ...]
    formula: str
    levels: dict[str, tuple[str, ...]]
    bounds: dict[str, tuple[float, float]]


def assessment_of(plan: AssessmentPlan, contract: Contract) -> AssessmentDesign:
    """Return the design that a contract's assessment has, the same at every site.

    Parameters
    ----------
    plan
        The step.
    contract
        Declares the columns, and how totals are protected.

    Raises
    ------
    UnknownNameError, PlanError
        The model's columns, labels or knots do not fit those declared.
    """
    declared = {column.name: column for column in contract.columns}
    levels = [(n, v) for n in plan.subgroups for v in _labels(declared[n])]
    privacy = contract.privacy
    return AssessmentDesign(
        plan=plan,
        grid=_grid(plan, declared),
        levels=tuple(levels),
        columns=tuple(plan.needs()),
        precision=privacy.precision,
        parts=len(contract.participants),
        step=SECURE_STEP if privacy.secure_sum else 0.0,
        exact=privacy.profile == "open",
        terms=model_terms(plan.model, contract.columns),
    )


def written(terms: Terms | None) -> Written:
    """Return the terms of a fit as a `FixedModel` carries them.

    Parameters
    ----------
    terms
        Of the fit; None: it is on embeddings alone.
    """
    if terms is None:
        return Written(covariates=(), formula="", levels={}, bounds={})
    factors = [factor for term in terms.terms for factor in term]
    curved = [f.name for f in factors if f.kind in {"bs", "ns"}]
    plain = all(len(t) == 1 and t[0].kind == "plain" for t in terms.terms)
    formula = " + ".join(term_text(term) for term in terms.terms)
    return Written(
        covariates=tuple(f.name for f in factors) if plain else (),
        formula="" if plain else formula,
        levels={n: v for n, v in terms.levels.items() if n in terms.columns},
        bounds={name: column_bounds(terms.columns[name]) for name in curved},
    )


def model_of_fit(
    plan: CoxPlan | LogisticPlan, columns: Sequence[Column], step: int
) -> FixedModel:
    """Return the model that a study's fit will be, without its numbers.

    Parameters
    ----------
    plan
        The fit, settled.
    columns
        Declarations in the contract.
    step
        Of the fit.

    Raises
    ------
    PlanError
        Effects change with time, so no patient has one score to assess.
    """
    if isinstance(plan, CoxPlan) and plan.time_varying:
        message = (
            "Effects of this fit change with time, so no patient has one score to "
            "assess. Assess a fit without time_varying."
        )
        raise PlanError(message)
    terms = terms_of(plan.terms(), columns, plan.levels) if plan.terms() else None
    return FixedModel(
        family="cox" if isinstance(plan, CoxPlan) else "logistic",
        coefficients=(),
        embedding=plan.embedding,
        features=plan.features,
        step=step,
        **written(terms),
    )


def with_fit(
    plan: AssessmentPlan, contract: Contract, totals: Sequence[Floats]
) -> AssessmentPlan:
    """Return a study's assessment with the numbers of the fit that it assesses.

    Parameters
    ----------
    plan
        Names the step of the fit.
    contract
        Has that step.
    totals
        Of all rounds of the fit.

    Raises
    ------
    PlanError
        The step is no fit, or of another model than the plan says.
    InputError
        The fit has not ended with these totals.
    """
    step = plan.model.step
    head = None
    if step is not None and 0 <= step < len(contract.steps):
        head = contract.steps[step]
    if step is None or not isinstance(head, CoxPlan | LogisticPlan):
        message = f"Step {step} of this contract is no fit that could be assessed."
        raise PlanError(message)
    if plan.model != model_of_fit(head, contract.columns, step):
        message = f"The model to assess is not that of step {step}."
        raise PlanError(message)
    design = design_of(
        head,
        contract.columns,
        privacy=contract.privacy,
        parts=len(contract.participants),
    )
    state = design.replay(totals)
    if state.phase != "done":
        message = f"The fit of step {step} has not ended."
        raise InputError(message)
    return msgspec.structs.replace(plan, model=_numbered(plan.model, design, state))


def _numbered(model: FixedModel, design: HeadDesign, state: HeadState) -> FixedModel:
    """Return a model with its numbers; a column that was left out has 0."""
    if state.newton is None or state.scale is None:
        message = "The fit was not begun."
        raise InputError(message)
    beta, mean, std = state.newton.trial, state.scale.mean, state.scale.std
    kept, width = list(state.kept), len(design.names)
    values, center = np.zeros(width), np.zeros(width)
    values[kept], center[kept] = beta[: len(kept)] / std, mean
    return msgspec.structs.replace(
        model,
        coefficients=tuple(values.tolist()),
        center=tuple(center.tolist()),
        intercept=float(beta[-1]) if design.family == "logistic" else 0.0,
    )


def model_terms(model: FixedModel, declared: Sequence[Column]) -> Terms | None:
    """Return a model's terms: splines as they were fitted, labels of its levels.

    Parameters
    ----------
    model
        What is assessed.
    declared
        The contract's columns.

    Returns
    -------
    terms
        None: it is on embeddings alone.

    Raises
    ------
    UnknownNameError, PlanError
        As for `fednb.survival.formula.terms_of`.
    """
    if not model.terms():
        return None
    columns = []
    for column in declared:
        low, high = model.bounds.get(column.name, (column.lower, column.upper))
        # a site need not have patients of every level
        named = model.levels.get(column.name, ())
        more = [label for label in named if label not in column.levels]
        levels = (*column.levels, *more) if column.kind == "category" else column.levels
        columns.append(
            msgspec.structs.replace(column, lower=low, upper=high, levels=levels)
        )
    return terms_of(model.terms(), columns, model.levels)


def _grid(plan: AssessmentPlan, declared: Mapping[str, Column]) -> tuple[float, ...]:
    if plan.model.family == "logistic":
        return ()
    return plan.times or default_times(declared[plan.duration])


def _labels(column: Column) -> tuple[str, ...]:
    return ("0", "1") if column.kind == "binary" else column.levels

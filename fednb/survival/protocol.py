"""The rounds of a head: moments, then Newton evaluations, then pair counts.

What comes next is a pure function of the totals so far. Coordinator and sites replay
the same history, so that a site computes the next coefficients by itself and the
coordinator has no way to choose them (disclosure rule 19).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fednb.errors import FitError, InputError, PlanError, UnknownNameError
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.coxph import lifelines_penalty
from fednb.survival.moments import Standardisation, combine
from fednb.survival.newton import NewtonOptions, NewtonState, start, update
from fednb.survival.sums import LikelihoodSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.contracts import Privacy
    from fednb.records.datasets import Column
    from fednb.survival.sums import Floats

Phase = Literal["moments", "score", "metrics", "done"]

INTERCEPT = "intercept"
_FLAT = 1e-6
SECURE_STEP = 2.0**-30
"""Fixed-point step of totals, see `fednb.privacy.fixed_point.totals`."""


@dataclass(frozen=True)
class HeadDesign:
    """What a contract fixes about a head.

    Attributes
    ----------
    names
        Columns in order, without the intercept.
    droppable
        For each column whether it may be left out where it is constant over all sites,
        as dead units of an embedding are; other constant columns are refused.
    center, half
        For each column a public middle and half width, of its declared bounds: totals
        are of ``(x - center) / half``, which keeps them in the secure sum's range.
    family
        ``"cox"`` or ``"logistic"``; the latter has an intercept, last and unpenalised.
    penalizer
        Ridge in lifelines' meaning: times n, on standardised columns.
    tolerance, max_evaluations, precision, parts
        See `fednb.survival.newton.NewtonOptions`.
    evaluates
        Whether pair counts follow the fit.
    step
        Step of the secure sum that carries the totals; 0 without one. The fit stops
        where the next step is lost in it.
    """

    names: tuple[str, ...]
    droppable: tuple[bool, ...]
    center: tuple[float, ...]
    half: tuple[float, ...]
    family: Literal["cox", "logistic"]
    penalizer: float = 0.0
    tolerance: float = 1e-9
    max_evaluations: int = 12
    precision: float = 0.0
    parts: int = 1
    evaluates: bool = True
    step: float = 0.0

    def replay(self, history: Sequence[Floats]) -> HeadState:
        """Return where the head stands after `history`; see `replay`."""
        return replay(self, history)


@dataclass(frozen=True, eq=False)
class HeadState:
    """Where a head stands after some rounds.

    Attributes
    ----------
    phase
        What the next round asks for.
    n, events
        Patients and events over all sites; of a logistic head, positives.
    kept
        Indices of the columns in the fit.
    scale
        Location and scale of the kept columns.
    options
        Of the Newton steps.
    newton
        State of the fit; its ``trial`` holds the coefficients on standardised columns.
    metrics
        ``[n, events, concordant, tied, comparable]`` once evaluated.
    """

    phase: Phase = "moments"
    n: int = 0
    events: int = 0
    kept: tuple[int, ...] = ()
    scale: Standardisation | None = None
    options: NewtonOptions | None = None
    newton: NewtonState | None = None
    metrics: Floats | None = None

    def names(self, design: HeadDesign) -> tuple[str, ...]:
        """Return the names of the coefficients, an intercept last."""
        kept = tuple(design.names[j] for j in self.kept)
        return (*kept, INTERCEPT) if design.family == "logistic" else kept

    def standardise(self, x: Floats, design: HeadDesign) -> Floats:
        """Return the design matrix of the fit from raw columns, shape (n, p)."""
        if self.scale is None:
            message = "The columns' moments are not known yet."
            raise InputError(message)
        z = self.scale.apply(x[:, list(self.kept)])
        if design.family == "logistic":
            z = np.column_stack([z, np.ones(len(z))])
        return np.ascontiguousarray(z)


def moments_size(design: HeadDesign) -> int:
    """Return the number of elements of the first round's vector."""
    return 2 + 2 * len(design.names)


def replay(design: HeadDesign, history: Sequence[Floats]) -> HeadState:
    """Return where a head stands after the totals of `history`.

    Parameters
    ----------
    design
        What the contract fixes.
    history
        Totals over all sites, one vector a round: ``[n, events, sums, squares]``, then
        `LikelihoodSums` vectors, then ``[n, events, concordant, tied, comparable]``.

    Raises
    ------
    FitError
        The fit cannot go on: separated, rank-deficient, no events, no convergence.
    """
    state = HeadState()
    for total in history:
        if state.phase == "moments":
            state = _begin(design, total)
        elif state.phase == "score":
            state = _step(design, state, total)
        elif state.phase == "metrics":
            state = replace(state, phase="done", metrics=total)
        else:
            message = "The head is finished; no further round is answered."
            raise InputError(message)
    return state


def _begin(design: HeadDesign, total: Floats) -> HeadState:
    q = len(design.names)
    n, events = round(float(total[0])), round(float(total[1]))
    sums, squares = total[2 : 2 + q], total[2 + q :]
    if n < 2 or events < 1:
        message = (
            f"The fit has {n} patients and {events} events over all sites; it needs "
            "at least 2 and 1. Choose another outcome, split or follow-up."
        )
        raise FitError(message)
    variance = np.maximum(squares / n - (sums / n) ** 2, 0.0)
    kept = tuple(
        j for j in range(q) if variance[j] > _FLAT**2 or not design.droppable[j]
    )
    if not kept:
        message = "Every column of the embedding is constant; train the network longer."
        raise FitError(message)
    names = [design.names[j] for j in kept]
    rows = list(kept)
    found = combine([np.concatenate([[n], sums[rows], squares[rows]])], 0.0, names)
    half = np.asarray(design.half)[rows]
    center = np.asarray(design.center)[rows]
    scale = Standardisation(center + half * found.mean, half * found.std, n)
    ridge = lifelines_penalty(design.penalizer, n)
    logistic = design.family == "logistic"
    width = len(kept) + logistic
    options = NewtonOptions(
        ridge=(*[ridge] * len(kept), 0.0) if logistic else ridge,
        tolerance=design.tolerance,
        max_evaluations=design.max_evaluations,
        precision=max(design.precision, design.step),
        parts=design.parts,
    )
    return HeadState("score", n, events, kept, scale, options, start(width))


def _step(design: HeadDesign, state: HeadState, total: Floats) -> HeadState:
    if state.newton is None or state.options is None:
        message = "The fit was not begun."
        raise InputError(message)
    names = state.names(design)
    sums = LikelihoodSums.from_vector(total, len(names))
    newton = update(state.newton, sums, state.options, names)
    phase: Phase = "score"
    if newton.converged:
        phase = "metrics" if design.evaluates else "done"
    return replace(state, phase=phase, newton=newton)


def design_of(
    plan: CoxPlan | LogisticPlan,
    columns: Sequence[Column],
    *,
    privacy: Privacy,
    parts: int,
) -> HeadDesign:
    """Return the design that a contract's head has, the same at every participant.

    Parameters
    ----------
    plan
        The head.
    columns
        Declarations in the contract, with the bounds of every covariate.
    privacy
        The contract's: rounding of totals, and whether a secure sum carries them.
    parts
        Number of participants.

    Raises
    ------
    UnknownNameError
        A covariate is not among the columns.
    PlanError
        A covariate holds labels.
    """
    width = 0
    if plan.embedding is not None and plan.features != "none":
        width = 1 if plan.features == "score" else plan.embedding.width
    units = ("score",) if plan.features == "score" else _unit_names(width)
    declared = {column.name: column for column in columns}
    center, half = [0.0] * width, [1.0] * width
    for name in plan.covariates:
        if name not in declared:
            raise UnknownNameError("covariate", name, declared)
        column = declared[name]
        if column.kind == "category":
            message = (
                f"Covariate {name!r} holds labels; use number or binary columns, one "
                "binary column a label."
            )
            raise PlanError(message)
        low, high = column_bounds(column)
        center.append((low + high) / 2)
        half.append((high - low) / 2 or 1.0)
    return HeadDesign(
        names=(*units[:width], *plan.covariates),
        droppable=(True,) * width + (False,) * len(plan.covariates),
        center=tuple(center),
        half=tuple(half),
        family="cox" if isinstance(plan, CoxPlan) else "logistic",
        penalizer=plan.penalizer,
        tolerance=plan.tolerance,
        max_evaluations=plan.max_evaluations,
        precision=privacy.precision,
        parts=parts,
        evaluates=plan.evaluate_on != "none",
        step=SECURE_STEP if privacy.secure_sum else 0.0,
    )


def column_bounds(column: Column) -> tuple[float, float]:
    """Return the bounds to which values of a column are clipped (rule 21)."""
    return (0.0, 1.0) if column.kind == "binary" else (column.lower, column.upper)


def _unit_names(width: int) -> tuple[str, ...]:
    return tuple(f"unit_{j}" for j in range(width))

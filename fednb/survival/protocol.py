"""What a contract fixes about a head: the same at every participant.

The rounds are moments, Newton evaluations, what was asked beside the fit, and pair
counts; `fednb.survival.stages` replays them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fednb.errors import PlanError
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.design import CoxDesign, Fixed
from fednb.survival.episodes import steps_of
from fednb.survival.formula import column_bounds, terms_of
from fednb.survival.stages import INTERCEPT, HeadState, moments_size, replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.contracts import Privacy
    from fednb.records.datasets import Column
    from fednb.survival.sums import Floats

__all__ = [
    "INTERCEPT",
    "SECURE_STEP",
    "CoxDesign",
    "HeadDesign",
    "HeadState",
    "column_bounds",
    "design_of",
    "moments_size",
    "replay",
]

SECURE_STEP = 2.0**-30
"""Fixed-point step of totals, see `fednb.privacy.fixed_point.totals`."""


@dataclass(frozen=True)
class HeadDesign(Fixed):
    """What a contract fixes about a head, and the rounds that follow from it."""

    def replay(self, history: Sequence[Floats]) -> HeadState:
        """Return where the head stands after `history`; see `replay`."""
        return replay(self, history)


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
        The head, settled: with the levels of its labels.
    columns
        Declarations in the contract, with the bounds of every covariate.
    privacy
        The contract's: rounding of totals, and whether a secure sum carries them.
    parts
        Number of participants.

    Raises
    ------
    UnknownNameError
        A covariate is not among the columns, or a level not among its labels.
    PlanError
        A term cannot be coded, see `fednb.survival.formula.terms_of`.
    """
    terms = terms_of(plan.terms(), columns, plan.levels)
    width = plan.width() - len(terms.names())
    units = ("score",) if plan.features == "score" else _unit_names(width)
    center, half = [0.0] * width, [1.0] * width
    for low, high in terms.bounds():
        center.append((low + high) / 2)
        half.append((high - low) / 2 or 1.0)
    names = (*units[:width], *terms.names())
    binary = (False,) * width + terms.binary()
    cox = _cox(plan, columns) if isinstance(plan, CoxPlan) else CoxDesign()
    taken: Sequence[int] = range(len(names))
    if isinstance(plan, CoxPlan) and plan.time_varying:
        steps = steps_of(names, terms, plan.time_varying)
        cox, taken, names = replace(cox, steps=steps), steps.source, steps.names
    return HeadDesign(
        names=names,
        droppable=tuple(j < width for j in taken),
        center=tuple(center[j] for j in taken),
        half=tuple(half[j] for j in taken),
        family="cox" if isinstance(plan, CoxPlan) else "logistic",
        terms=terms,
        binary=tuple(binary[j] for j in taken),
        cox=cox,
        penalizer=plan.penalizer,
        l1_ratio=plan.l1_ratio,
        tolerance=plan.tolerance,
        max_evaluations=plan.max_evaluations,
        precision=privacy.precision * _weight_of_one(plan, columns),
        parts=parts,
        evaluates=plan.evaluate_on != "none",
        step=SECURE_STEP if privacy.secure_sum else 0.0,
    )


def _cox(plan: CoxPlan, columns: Sequence[Column]) -> CoxDesign:
    declared = {column.name: column for column in columns}
    levels = []
    for name in plan.strata_columns:
        labels = plan.levels.get(name, ())
        if name not in declared or not labels:
            message = f"Stratum {name!r} has no levels; ask its owners to declare them."
            raise PlanError(message)
        levels.append(labels)
    return CoxDesign(
        by_site=plan.by_site,
        strata=plan.strata_columns,
        levels=tuple(levels),
        grid=plan.grid,
        ties=plan.ties,
        robust=plan.robust,
        ph_test=plan.ph_test,
        longest=max(declared[plan.duration].upper, 1.0),
    )


def _weight_of_one(plan: CoxPlan | LogisticPlan, columns: Sequence[Column]) -> float:
    """Return what a patient counts for in sums, as far as declared bounds tell.

    Sums are rounded in shares of a patient: of weights of thousands the same step would
    round nothing (disclosure rule 20), of weights of millionths all of it away.
    """
    name = plan.weights if isinstance(plan, CoxPlan) else ""
    for column in columns:
        if column.name == name:
            low, high = column_bounds(column)
            middle = (max(low, 0.0) + high) / 2
            return middle if middle > 0 else 1.0
    return 1.0


def _unit_names(width: int) -> tuple[str, ...]:
    return tuple(f"unit_{j}" for j in range(width))

"""What a contract fixes about a head: the same at every participant.

The rounds are moments, Newton evaluations, what was asked beside the fit, and pair
counts; `fednb.survival.stages` replays them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fednb.errors import PlanError
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.formula import Terms, column_bounds, terms_of
from fednb.survival.stages import INTERCEPT, HeadState, moments_size, replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.contracts import Privacy
    from fednb.records.datasets import Column
    from fednb.survival.riskset import Ties
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
class CoxDesign:
    """What a contract fixes about a Cox head beside its columns.

    Attributes
    ----------
    by_site
        Whether risk sets stay within sites; otherwise they are pooled on `grid`.
    strata
        Columns that define strata beside the site.
    levels
        Labels of these, in order.
    grid
        Ends of the time intervals; empty: no baseline hazard is asked for.
    ties, robust, ph_test
        See `fednb.records.heads.CoxPlan`.
    longest
        Declared upper bound of the follow-up: the unit of time of the test.
    """

    by_site: bool = True
    strata: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    grid: tuple[float, ...] = ()
    ties: Ties = "efron"
    robust: bool = False
    ph_test: Literal["none", "identity", "log"] = "none"
    longest: float = 1.0

    @property
    def groups(self) -> int:
        """Number of strata, those of sites apart."""
        found = 1
        for levels in self.levels:
            found *= len(levels)
        return found

    @property
    def cells(self) -> int:
        """Number of strata times intervals."""
        return self.groups * len(self.grid)

    def labels(self) -> tuple[str, ...]:
        """Return the strata in words, in the order of their codes."""
        found = [""]
        for name, levels in zip(self.strata, self.levels, strict=True):
            found = [
                f"{left}, {name}={level}" if left else f"{name}={level}"
                for left in found
                for level in levels
            ]
        return tuple(found)


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
    terms
        How the covariates' columns come from those of the table; none without any.
    binary
        For each column whether it holds 0 and 1 only.
    cox
        Of a Cox head.
    penalizer, l1_ratio
        Elastic net in lifelines' meaning: times n, on standardised columns.
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
    terms: Terms
    binary: tuple[bool, ...]
    cox: CoxDesign = CoxDesign()
    penalizer: float = 0.0
    l1_ratio: float = 0.0
    tolerance: float = 1e-9
    max_evaluations: int = 12
    precision: float = 0.0
    parts: int = 1
    evaluates: bool = True
    step: float = 0.0

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
    names = terms.names()
    return HeadDesign(
        names=(*units[:width], *names),
        droppable=(True,) * width + (False,) * len(names),
        center=tuple(center),
        half=tuple(half),
        family="cox" if isinstance(plan, CoxPlan) else "logistic",
        terms=terms,
        binary=(False,) * width + terms.binary(),
        cox=_cox(plan, columns) if isinstance(plan, CoxPlan) else CoxDesign(),
        penalizer=plan.penalizer,
        l1_ratio=plan.l1_ratio,
        tolerance=plan.tolerance,
        max_evaluations=plan.max_evaluations,
        precision=privacy.precision,
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


def _unit_names(width: int) -> tuple[str, ...]:
    return tuple(f"unit_{j}" for j in range(width))

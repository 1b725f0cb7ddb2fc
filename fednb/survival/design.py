"""What a contract fixes about a head, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fednb.survival.episodes import Steps

if TYPE_CHECKING:
    from fednb.survival.formula import Terms
    from fednb.survival.riskset import Ties


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
    steps
        Which columns act when, where effects change with time.
    """

    by_site: bool = True
    strata: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    grid: tuple[float, ...] = ()
    ties: Ties = "efron"
    robust: bool = False
    ph_test: Literal["none", "identity", "log"] = "none"
    longest: float = 1.0
    steps: Steps = field(default_factory=Steps)

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
class Fixed:
    """What a contract fixes about a head: `HeadDesign` without its rounds.

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

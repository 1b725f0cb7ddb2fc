"""Heads: verified fits of a few coefficients on embeddings, covariates, or both."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec
from typing_extensions import override

from fednb.errors import PlanError
from fednb.records.formula import Term, term_text, term_width, terms_of
from fednb.records.specs import (
    AUTO,
    EmbeddingRef,
    Needs,
    Phase,
    Split,
    SplitSpec,
    SummedPlan,
    settle_embedding,
    settle_parts,
    typed,
)
from fednb.records.time_varying import settled_cuts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.records.datasets import Column

HEAD_METRICS: Final = 6
"""Patients, events, concordant, tied and comparable pairs, and the spread of these."""

MOST_INTERVALS: Final = 240
"""Intervals of a time grid, at most: twenty years of months."""

SITE: Final = "site"
"""The stratum that every site is by itself."""


class HeadPlan(SummedPlan, frozen=True):
    """What Cox and logistic heads share.

    Attributes
    ----------
    embedding
        Result of an `EmbeddingPlan`; none: covariates only.
    features
        ``"embedding"`` (bottleneck units) or ``"score"`` (the network's output).
    covariates
        Further columns: numbers and binaries as they are, labels as one 0/1 column a
        level but the first.
    formula
        In place of `covariates`: ``"age * C(grade) + ns(volume, 10, 30)"``, see
        `fednb.records.formula`; outside the open profile with knots on the owners' grid
        of the column.
    levels
        Labels by column, the reference first; where none are given the owners' levels
        in their order. Patients with another label are left out.
    penalizer, l1_ratio
        Elastic net, in lifelines' meaning: ``penalizer * n`` times
        ``l1_ratio |b| + (1 - l1_ratio) / 2 b^2`` on standardised columns. The absolute
        value is exact, where lifelines takes a smooth function near it.
    split, fit_on, evaluate_on
        Patients to fit on and to evaluate on. By default (``"auto"``) a head on
        embeddings is fitted on the validation patients, which no network was trained
        on, and evaluated on the test patients; without embeddings all patients are
        fitted, and C or AUC is of these, as lifelines has it.
    tolerance, max_evaluations
        The fit ends where its next step, in standard errors, is shorter; at most 12.
    """

    embedding: EmbeddingRef | None = None
    features: Literal["embedding", "score", "none"] = "embedding"
    covariates: tuple[str, ...] = ()
    formula: str = ""
    levels: dict[str, tuple[str, ...]] = {}
    penalizer: float = 0.0
    l1_ratio: float = 0.0
    split: SplitSpec = SplitSpec()
    fit_on: Split = AUTO
    evaluate_on: Split | Literal["none"] = AUTO
    tolerance: float = 1e-9
    max_evaluations: int = 12

    def __post_init__(self) -> None:
        """Accept an embedding result in place of its reference; check ranges."""
        settle_embedding(self)
        force = msgspec.structs.force_setattr
        if self.embedding is None:
            force(self, "features", "none")
        else:
            force(self, "split", self.embedding.split)
        settle_parts(self)
        typed(self)
        if self.covariates and self.formula:
            message = "Give covariates or a formula, not both."
            raise PlanError(message)
        if self.features == "none" and not self.terms():
            message = "A head needs an embedding, covariates, or both."
            raise PlanError(message)
        if not 0 <= self.penalizer < math.inf:
            message = f"penalizer must be >= 0; got {self.penalizer}."
            raise PlanError(message)
        if not 0 <= self.l1_ratio <= 1:
            message = f"l1_ratio must lie in [0, 1]; got {self.l1_ratio}."
            raise PlanError(message)
        if not 1 <= self.max_evaluations <= 12:
            message = f"A fit has 1 to 12 evaluations; got {self.max_evaluations}."
            raise PlanError(message)

    def terms(self) -> tuple[Term, ...]:
        """Return the terms of the formula, or one a covariate, see `terms_of`."""
        return terms_of(self.formula, self.covariates)

    def labelled(self) -> tuple[str, ...]:
        """Return the columns that are read as labels whatever their kind."""
        factors = (factor for term in self.terms() for factor in term)
        return tuple(dict.fromkeys(f.name for f in factors if f.kind == "levels"))

    def settled(self, columns: Sequence[Column]) -> Self:
        """Return the plan with the levels of every column that is read as labels.

        Parameters
        ----------
        columns
            Declarations that all sites share.

        Raises
        ------
        PlanError
            A column of `levels` is not one of the plan's.
        """
        used = {column.name: column for column in columns}
        for name in self.levels:
            if name not in used:
                message = f"levels names {name!r}, which the plan does not use."
                raise PlanError(message)
        levels = {}
        forced = self.labelled()
        for name in (*_used(self.terms()), *forced):
            column = used.get(name)
            if column is None or (column.kind != "category" and name not in forced):
                continue
            own = ("0", "1") if column.kind == "binary" else column.levels
            levels[name] = tuple(self.levels.get(name, own))
        return msgspec.structs.replace(self, levels=levels)

    def width(self) -> int:
        """Return the number of columns of the design, without an intercept."""
        width = 0
        if self.features == "score":
            width = 1
        elif self.features == "embedding" and self.embedding is not None:
            width = self.embedding.width
        return width + sum(term_width(term, self.levels) for term in self.terms())

    @override
    def phases(self) -> tuple[Phase, ...]:
        """Return moments, then scores, then pair counts."""
        columns = self.coefficients()
        found = (
            Phase("moments", 2 + 2 * columns),
            Phase("score", _likelihood(columns), self.max_evaluations),
        )
        return (*found, *self.evaluation())

    def evaluation(self) -> tuple[Phase, ...]:
        """Return what an evaluation adds to the phases."""
        return () if self.evaluate_on == "none" else (Phase("metrics", HEAD_METRICS),)

    def coefficients(self) -> int:
        """Return the number of columns of the fit, an intercept included."""
        return self.width()

    def covariate_needs(self) -> Needs:
        """Return the columns of the terms, with the kinds that fit there."""
        found: Needs = {}
        for term in self.terms():
            for factor in term:
                kinds = _KINDS[factor.kind]
                known = found.get(factor.name, kinds)
                found[factor.name] = tuple(kind for kind in known if kind in kinds)
        return found

    @override
    def columns_used(self) -> tuple[str, ...]:
        """Return the columns that the plan uses, each once."""
        used = (*self.needs(), self.split.column)
        return tuple(dict.fromkeys(name for name in used if name))


class CoxPlan(HeadPlan, frozen=True):
    """Fit a Cox model on embeddings, covariates, or both; see `HeadPlan` for these.

    Attributes
    ----------
    duration, event
        Columns of follow-up times and of 0/1 events.
    strata
        ``"site"``, with or without category or binary columns: each stratum has its
        own baseline hazard, and nothing but score, information and likelihood leaves a
        site. Without ``"site"`` risk sets are pooled over the sites on `grid`;
        ``"none"`` for one baseline hazard.
    grid
        Ends of the time intervals, increasing. Pooled fits replace times by them
        first; a fit stratified by site takes only its baseline hazard on them. Outside
        the open profile they are ends of the owners' grid of `duration`, and every
        interval holds the threshold of each site's exits and of all sites' deaths
        (disclosure rule 10).
    ties
        ``"efron"`` or ``"breslow"``.
    weights
        Number column of positive case weights; empty: none.
    entry
        Number column of left truncation times: at risk where entry < t <= duration.
    robust
        Sandwich standard errors, for one more round of totals.
    ph_test
        Test proportional hazards against effects that change with time or with its
        logarithm, for one more round of totals; of fits stratified by site.
    time_varying
        Times at which the effect of a term changes, by the term as it is written, for
        hazards that are not proportional: ``{"age": (12, 24)}`` has a coefficient for
        each of ``age:0-12``, ``age:12-24`` and ``age:24+`` (start < t <= end). Every
        site splits its patients' follow-up by itself. Of fits stratified by site
        without `grid`, `robust` and `ph_test`; nothing is evaluated, since no patient
        has one score. Outside the open profile times are ends of the owners' grid, the
        threshold of each site's patients leave in every interval, and as many deaths
        of all sites lie in it (disclosure rules 9 and 10).

    Examples
    --------
    >>> plan = fednb.CoxPlan(covariates="age", duration="os_months", event="death")
    >>> plan.fit_on, plan.strata
    ('all', ('site',))
    """

    duration: str = "time"
    event: str = "event"
    strata: tuple[str, ...] = (SITE,)
    ties: Literal["efron", "breslow"] = "efron"
    grid: tuple[float, ...] = ()
    weights: str = ""
    entry: str = ""
    robust: bool = False
    ph_test: Literal["none", "identity", "log"] = "none"
    time_varying: dict[str, tuple[float, ...]] = {}

    @override
    def __post_init__(self) -> None:
        """Accept one stratum in place of several; check the grid."""
        given: Any = self.strata
        force = msgspec.structs.force_setattr
        strata = (given,) if isinstance(given, str) else tuple(given or ())
        force(self, "strata", tuple(s for s in strata if s not in {"", "none"}))
        force(self, "grid", tuple(float(end) for end in self.grid))
        # msgspec decodes without the class cell that super() needs
        HeadPlan.__post_init__(self)
        if not self.by_site and not self.grid:
            message = (
                "A fit that is not stratified by site pools risk sets over sites, on a "
                "time grid: give grid=[6, 12, ...] in the unit of the follow-up, "
                'or strata="site".'
            )
            raise PlanError(message)
        if self.ph_test != "none" and not self.by_site:
            message = 'ph_test needs risk sets within sites: strata="site".'
            raise PlanError(message)
        ends = (0.0, *self.grid)
        ascending = all(low < high < math.inf for low, high in pairwise(ends))
        if not ascending or len(self.grid) > MOST_INTERVALS:
            message = (
                f"grid must be at most {MOST_INTERVALS} increasing times above 0; got "
                f"{self.grid}."
            )
            raise PlanError(message)
        self._settle_time_varying()

    def _settle_time_varying(self) -> None:
        """Settle when effects change; refuse what does not go with it."""
        force = msgspec.structs.force_setattr
        force(self, "time_varying", settled_cuts(self.time_varying, self.terms()))
        if not self.time_varying:
            return
        if not self.by_site or self.grid or self.robust or self.ph_test != "none":
            message = (
                'time_varying needs risk sets within sites, strata="site", and does '
                "not go with grid, robust or ph_test: leave these out."
            )
            raise PlanError(message)
        force(self, "evaluate_on", "none")

    @property
    def by_site(self) -> bool:
        """Whether every site has baseline hazards of its own."""
        return SITE in self.strata

    @property
    def strata_columns(self) -> tuple[str, ...]:
        """Columns that define strata, beside the site."""
        return tuple(name for name in self.strata if name != SITE)

    @override
    def labelled(self) -> tuple[str, ...]:
        """Return the columns that are read as labels whatever their kind."""
        return (*HeadPlan.labelled(self), *self.strata_columns)

    @override
    def coefficients(self) -> int:
        """Return the number of columns of the fit, one an interval of an effect."""
        more = sum(
            term_width(term, self.levels) * len(self.time_varying[term_text(term)])
            for term in self.terms()
            if term_text(term) in self.time_varying
        )
        return self.width() + more

    def groups(self) -> int:
        """Return the number of strata, those of sites apart."""
        found = 1
        for name in self.strata_columns:
            found *= max(len(self.levels.get(name, ())), 1)
        return found

    def cells(self) -> int:
        """Return the number of strata times intervals."""
        return self.groups() * len(self.grid)

    @override
    def phases(self) -> tuple[Phase, ...]:
        """Return moments, scores, then what was asked beside the fit."""
        p, cells = self.coefficients(), self.cells()
        products = p * (p + 1) // 2
        counted = 4 if self.time_varying else 2
        found = [Phase("moments", 2 + counted * p + cells)]
        if self.by_site:
            found.append(Phase("score", _likelihood(p), self.max_evaluations))
        else:
            sums = cells * (3 + 2 * p + 2 * products) + p
            found.append(Phase("score", sums, self.max_evaluations - 1))
        if self.robust:
            found.append(Phase("robust", products))
        if self.ph_test != "none":
            found.append(Phase("ph_test", 2 * p + 3 * products))
        if self.grid:
            last = Phase("ungrouped", _likelihood(p))
            found.append(Phase("baseline", 3 * cells) if self.by_site else last)
        return (*found, *self.evaluation())

    @override
    def needs(self) -> Needs:
        """Return follow-up, strata and covariates."""
        found: Needs = {self.duration: ("number",), self.event: ("binary",)}
        for name in (self.weights, self.entry):
            if name:
                found[name] = ("number",)
        found |= dict.fromkeys(self.strata_columns, ("category", "binary"))
        return {**found, **self.covariate_needs()}


class LogisticPlan(HeadPlan, frozen=True):
    """Fit a logistic head for a binary column; see `HeadPlan` for shared fields.

    Examples
    --------
    >>> fednb.LogisticPlan(formula="age * C(sex)", target="idh").columns_used()
    ('idh', 'age', 'sex')
    """

    target: str = "label"

    @override
    def coefficients(self) -> int:
        """Return the number of columns of the fit, the intercept included."""
        return self.width() + 1

    @override
    def needs(self) -> Needs:
        """Return the outcome and covariates."""
        return {self.target: ("binary",), **self.covariate_needs()}


_KINDS: Final[dict[str, tuple[Literal["number", "binary", "category"], ...]]] = {
    "plain": ("number", "binary", "category"),
    "levels": ("category", "binary"),
    "bs": ("number",),
    "ns": ("number",),
}


def _used(terms: tuple[Term, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(factor.name for term in terms for factor in term))


def _likelihood(columns: int) -> int:
    """Return the length of score, information and log-likelihood."""
    return columns + columns * (columns + 1) // 2 + 1

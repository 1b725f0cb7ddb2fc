"""What a report says under each heading of TRIPOD+AI.

Collins and others, BMJ 385:e078378 (2024). What only people know is left to them, and
said to be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

from fednb.display import text
from fednb.privacy.profiles import profile_named
from fednb.results.parts import count_text
from fednb.survival.meta_analysis import expit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.records.assessment import AssessmentPlan
    from fednb.results.performance import Performance

Facts = list[tuple[str, object]]

ENOUGH_EVENTS: Final = 100
"""Events, and patients without, that an external validation needs at least.

Collins, Ogundimu and Altman, Statistics in Medicine 35:214 (2016).
"""

_MISSING: Final = (
    "background, objectives, setting and dates, eligibility, treatment, ethical "
    "approval, funding, conflicts of interest, protocol, registration, involvement of "
    "patients, interpretation"
)
_COEFFICIENTS: Final = 20
"""Of a model that are written out."""


class Reported(Protocol):
    """What `fednb.results.assessment.EvaluationReport` says of itself."""

    @property
    def plan(self) -> AssessmentPlan:
        """What was assessed, and how."""

    @property
    def performance(self) -> Performance:
        """The figures."""

    @property
    def n(self) -> int:
        """Patients."""

    @property
    def events(self) -> int:
        """Events or positives."""

    @property
    def missing(self) -> tuple[tuple[str, int], ...]:
        """Patients without a value, by column."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the model's coefficients."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Who took part."""

    @property
    def trained(self) -> tuple[str, ...]:
        """Sites that the model was fitted at."""

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each site in the datasets' patients."""

    @property
    def profile(self) -> str:
        """Under which they answered."""

    @property
    def external(self) -> bool | None:
        """Whether no site had a part in the fit."""

    @property
    def events_per_variable(self) -> float:
        """Events a coefficient."""


def chapters(report: Reported) -> Iterator[tuple[str, Facts]]:
    """Yield the facts under each heading; figures have a table of their own."""
    plan, model = report.plan, report.plan.model
    outcome = plan.target or f"{plan.duration}, {plan.event}"
    yield "Title", [("model", f"{model.family}, evaluated"), ("outcome", outcome)]
    yield "Data and participants", [*_data(report)]
    read = [] if model.features == "none" else [model.features]
    names = ", ".join((*read, *model.shown()))
    yield "Predictors", [("columns", names)]
    yield "Model specification", [*_model(report)]
    yield "Sample size", [*_size(report)]
    gone = [(n or "any", count_text(c, report.profile)) for n, c in report.missing]
    yield "Missing data", [("handling", "complete cases"), *gone]
    yield "Analytical methods", [*_methods(report)]
    yield "Heterogeneity between sites", [*_between(report)]
    yield "Limitations", [*_limits(report)]
    yield "Left to the authors", [("not known here", _MISSING)]


def _data(report: Reported) -> Iterator[tuple[str, object]]:
    yield "sites", ", ".join(report.sites)
    if report.shares:
        parts = zip(report.sites, report.shares, strict=True)
        shown = ", ".join(f"{site} {100 * share:.0f} %" for site, share in parts)
        yield "patients of the datasets", f"{shown}, by the owners' rounded numbers"
    known = {True: "yes: no site had a part in the fit", False: "no", None: ""}
    yield "external validation", known[report.external] or "not known"
    yield "patients of", report.plan.on
    if report.performance.follow_up:
        early, median, late = map(_until, report.performance.follow_up)
        spread = f"median {median}, quartiles {early} and {late}"
        yield "follow-up (reverse Kaplan-Meier)", f"{spread}, by ends of the grid"


def _until(time: float) -> str:
    return f"{time:g}" if math.isfinite(time) else "not reached"


def _model(report: Reported) -> Iterator[tuple[str, object]]:
    model = report.plan.model
    scale = "log hazard" if model.family == "cox" else "log odds"
    yield "output", f"{scale}: the intercept, and each coefficient times its column"
    yield "intercept", text.number(model.intercept)
    rows = [*zip(report.names, model.coefficients, model.center, strict=False)]
    for name, b, at in rows[:_COEFFICIENTS]:
        around = f" from {text.number(at)} on" if at else ""
        yield name, f"{text.number(b)}{around}"
    if len(rows) > _COEFFICIENTS:
        yield "further coefficients", len(rows) - _COEFFICIENTS


def _size(report: Reported) -> Iterator[tuple[str, object]]:
    rules = profile_named(report.profile)
    yield "patients", count_text(report.n, report.profile)
    yield "events", count_text(report.events, report.profile)
    yield "events per coefficient", f"{report.events_per_variable:.1f}"
    if not rules.exact:
        least = f"fewer than {rules.threshold} are shown as none"
        yield "counts", f"sums of what each site rounded; {least}"


def _methods(report: Reported) -> Iterator[tuple[str, object]]:
    plan = report.plan
    if plan.model.family == "cox":
        given = "of the contract" if plan.baseline else "estimated anew here"
        yield "baseline hazard", given
        yield "times", "on a grid of intervals; deaths before censorings in each"
    yield "pairs across sites", f"by a joint histogram of {plan.bins} bins"
    yield "intervals", "delta method on the logit scale, within sites"


def _between(report: Reported) -> Iterator[tuple[str, object]]:
    found, pooled = report.performance.between, report.performance.pooled
    if found is None:
        yield "not estimated", "fewer than two sites have an estimate"
        return
    yield "sites with an estimate", found.sites
    yield "I2", f"{100 * found.i2:.0f} %"
    yield "tau2 (logit scale)", text.number(found.tau2)
    yield "release", "joint" if pooled is None else "joint, between"
    if pooled is None:
        yield "mean over sites", "not asked: three sites' estimates would follow"
        return
    yield "random-effects mean", f"{expit(pooled.mean):.3f}"
    if math.isfinite(pooled.low):
        span = f"{expit(pooled.low):.3f} to {expit(pooled.high):.3f}"
        yield "95 % prediction interval of a new site", span


def _limits(report: Reported) -> Iterator[tuple[str, object]]:
    fewest = min(report.events, report.n - report.events)
    if report.plan.model.family == "cox":
        fewest = report.events
    if fewest < ENOUGH_EVENTS:
        yield "sample", f"fewer than {ENOUGH_EVENTS} events, or patients without one"
    if report.external is not True:
        known = "some had a part in the fit" if report.trained else "fit where, unknown"
        yield "sites", f"{known}: no external validation"
    if report.plan.model.family == "cox" and not report.plan.baseline:
        yield (
            "calibration",
            "of spread alone: the baseline hazard is that of these patients",
        )
    yield "patients left out", "those with a missing value, as if lost at random"
    found = report.performance.between
    if found is not None and found.sites < 5:
        yield "heterogeneity", f"of {found.sites} sites: next to unknown"

"""The report of an assessment, under the headings of TRIPOD+AI.

Collins and others, BMJ 385:e078378 (2024): what a study that evaluates a prediction
model reports. What only people know (setting, treatment, funding) is left to them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fednb.display import html, text
from fednb.errors import InputError, RunError, UnknownNameError
from fednb.results.parts import PooledResult, count_text, new_axes, plain
from fednb.results.performance import performance_of
from fednb.survival.assessment import AssessmentDesign, AssessmentState
from fednb.survival.meta_analysis import expit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes

    from fednb.display.html import Html
    from fednb.records.assessment import AssessmentPlan
    from fednb.results.performance import Measure, Performance, Subgroup
    from fednb.survival.registry import Analysis, Stage

Table = Literal["measures", "calibration", "brier", "decision", "subgroups", "missing"]
TABLES: tuple[Table, ...] = (
    "measures",
    "calibration",
    "brier",
    "decision",
    "subgroups",
    "missing",
)
_FIGURES = ("measure", "value", "95 % CI", "release", "note")
_GROUPS = ("column", "level", "n", "events", "index", "95 % CI")


@dataclass(frozen=True, repr=False, kw_only=True)
class EvaluationReport(PooledResult):
    """How well a finished model predicts, at the sites that were asked.

    Attributes
    ----------
    plan
        What was assessed, and how.
    performance
        The figures.
    n, events
        Patients and events (positives), as the profile rounds them.
    missing
        Patients without a value, by column; ``""``: any of them. Over the whole
        dataset, as the profile rounds them.
    trained
        Sites that the model was fitted at; empty where not known.
    """

    plan: AssessmentPlan
    performance: Performance
    n: int
    events: int
    missing: tuple[tuple[str, int], ...] = ()
    trained: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Measure:
        """Return a figure by its name.

        Raises
        ------
        UnknownNameError
            There is none of that name; says which there are.
        """
        for measure in self.performance.measures:
            if measure.name == name:
                return measure
        names = [m.name for m in self.performance.measures]
        raise UnknownNameError("measure", name, names)

    @property
    def external(self) -> bool | None:
        """Whether no site assessed had a part in the fit; None where not known."""
        return set(self.sites).isdisjoint(self.trained) if self.trained else None

    @property
    def events_per_variable(self) -> float:
        """Events assessed a coefficient of the model."""
        return self.events / len(self.plan.model.coefficients)

    def to_frame(self, table: Table = "measures") -> pd.DataFrame:
        """Return one of the report's tables.

        Parameters
        ----------
        table
            One of `TABLES`.

        Raises
        ------
        UnknownNameError
            There is no such table.
        """
        import pandas as pd

        if table not in TABLES:
            raise UnknownNameError("table", table, TABLES)
        found = self.performance
        if table in {"brier", "decision"}:
            return _curve_frame(found, table)
        rows: dict[str, list[dict[str, Any]]] = {
            "measures": [asdict(m) for m in found.measures],
            "calibration": self._calibration_rows(),
            "subgroups": [_subgroup_row(s) for s in found.subgroups],
            "missing": [{"column": n, "patients": c} for n, c in self.missing],
        }
        frame = pd.DataFrame(rows[table])
        return frame.set_index("name") if table == "measures" else frame

    def plot(self, kind: str = "calibration", ax: Axes | None = None) -> Axes:
        """Draw one part of the report; return the axes.

        Parameters
        ----------
        kind
            ``"calibration"``; ``"brier"`` of a Cox model; ``"decision"`` of a logistic
            one.
        ax
            Where to draw; None: a new figure.

        Raises
        ------
        InputError
            The model has no such part.
        """
        parts = {"calibration": None, "brier": "brier", "decision": "decision"}
        if kind not in parts:
            raise UnknownNameError("plot", kind, parts)
        if kind == "calibration":
            return self._plot_calibration(new_axes(ax))
        found = self.performance
        curve = found.brier if kind == "brier" else found.decision
        if curve is None:
            message = f"A {self.plan.model.family} model has no {kind} curve."
            raise InputError(message)
        axes = new_axes(ax)
        reference = "Kaplan-Meier" if kind == "brier" else "everybody"
        axes.plot(curve.x, curve.model, color="black", label="model")
        axes.plot(curve.x, curve.reference, color="grey", ls="--", label=reference)
        if kind == "decision":
            axes.axhline(0.0, color="grey", linewidth=1, label="nobody")
        axes.set_xlabel(plain(self.plan.duration) if kind == "brier" else "threshold")
        axes.set_ylabel("Brier score" if kind == "brier" else "net benefit")
        axes.legend()
        return axes

    def _plot_calibration(self, axes: Axes) -> Axes:
        axes.plot([0, 1], [0, 1], color="grey", ls="--", linewidth=1)
        for time, groups in self.performance.calibration:
            label = "all" if math.isnan(time) else f"by {time:g}"
            axes.errorbar(
                groups.predicted,
                groups.observed,
                yerr=1.96 * groups.std_error,
                marker="o",
                capsize=2,
                linewidth=1,
                label=label,
            )
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed")
        axes.legend()
        return axes

    def _calibration_rows(self) -> list[dict[str, float]]:
        return [
            {
                "time": time,
                "group": group + 1,
                "n": float(groups.n[group]),
                "predicted": float(groups.predicted[group]),
                "observed": float(groups.observed[group]),
                "std_error": float(groups.std_error[group]),
            }
            for time, groups in self.performance.calibration
            for group in range(len(groups.n))
        ]

    def _chapters(self) -> Iterator[tuple[str, list[tuple[str, object]]]]:
        """Yield the facts under each heading; figures have a table of their own."""
        plan, model = self.plan, self.plan.model
        outcome = plan.target or f"{plan.duration}, {plan.event}"
        yield "Title", [("model", f"{model.family}, evaluated"), ("outcome", outcome)]
        yield "Data and participants", [*self._data()]
        read = [] if model.features == "none" else [model.features]
        names = ", ".join((*read, *model.shown()))
        yield "Predictors", [("columns", names)]
        per = f"{self.events_per_variable:.1f}"
        yield (
            "Sample size",
            [
                ("patients", count_text(self.n, self.profile)),
                ("events", count_text(self.events, self.profile)),
                ("events per coefficient", per),
            ],
        )
        gone = [(n or "any", count_text(c, self.profile)) for n, c in self.missing]
        yield "Missing data", [("handling", "complete cases"), *gone]
        yield "Analytical methods", [*self._methods()]
        yield "Heterogeneity between sites", [*self._between()]

    def _data(self) -> Iterator[tuple[str, object]]:
        yield "sites", ", ".join(self.sites)
        known = {True: "yes: no site had a part in the fit", False: "no", None: ""}
        yield "external validation", known[self.external] or "not known"
        yield "patients of", self.plan.on

    def _methods(self) -> Iterator[tuple[str, object]]:
        if self.plan.model.family == "cox":
            given = "of the contract" if self.plan.baseline else "estimated anew here"
            yield "baseline hazard", given
            yield "times", "on a grid of intervals; deaths before censorings in each"
        yield "pairs across sites", f"by a joint histogram of {self.plan.bins} bins"
        yield "intervals", "delta method on the logit scale, within sites"

    def _between(self) -> Iterator[tuple[str, object]]:
        found, pooled = self.performance.between, self.performance.pooled
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

    def _figures(self) -> list[tuple[object, ...]]:
        return [_figure_row(m) for m in self.performance.measures]

    def _groups(self) -> list[tuple[object, ...]]:
        return [
            (
                s.column,
                s.label,
                text.Digits(count_text(s.n, self.profile)),
                text.Digits(count_text(s.events, self.profile)),
                *_figure_row(s.index)[1:3],
            )
            for s in self.performance.subgroups
        ]

    def _text(self) -> str:
        lines: list[str] = []
        for heading, facts in self._chapters():
            lines += ["", heading, text.fields(facts, indent="  ")]
        lines += ["", "Model performance", text.table(_FIGURES, self._figures())]
        if self.performance.subgroups:
            lines += ["", "Fairness: subgroups", text.table(_GROUPS, self._groups())]
        return self._page_text("Evaluation report", *lines, "")

    def _html(self) -> Html:
        parts: list[Html] = []
        for heading, facts in self._chapters():
            parts += [html.element("h4", heading), html.definition_list(facts)]
        parts.append(html.element("h4", "Model performance"))
        parts.append(html.table(_FIGURES, self._figures(), max_rows=100))
        rows = [tuple(row.values()) for row in self._calibration_rows()]
        if rows:
            names = tuple(self._calibration_rows()[0])
            parts.append(
                html.details("Calibration", html.table(names, rows, max_rows=100))
            )
        if self.performance.subgroups:
            parts.append(html.element("h4", "Fairness: subgroups"))
            parts.append(html.table(_GROUPS, self._groups(), max_rows=100))
        return self._page_html(html.element("h3", "Evaluation report"), *parts)


def report_of(plan: AssessmentPlan, design: Analysis, state: Stage) -> EvaluationReport:
    """Return the report of a finished assessment, without who took part.

    Parameters
    ----------
    plan
        What was assessed.
    design, state
        What the contract fixed, and where the totals led.

    Raises
    ------
    RunError
        They belong to another kind of step.
    """
    if not isinstance(design, AssessmentDesign) or not isinstance(
        state, AssessmentState
    ):
        message = f"A {type(design).__name__} is no assessment."
        raise RunError(message)
    names = ("", *design.columns)
    counts = state.blocks["risk"]["missing"].tolist()
    return EvaluationReport(
        plan=plan,
        performance=performance_of(design, state),
        n=state.n,
        events=state.events,
        missing=tuple((n, round(c)) for n, c in zip(names, counts, strict=True)),
    )


def _curve_frame(found: Performance, table: str) -> pd.DataFrame:
    """Return a curve as a table; without rows where the model has none."""
    import pandas as pd

    curve, first = (found.brier, "time")
    if table == "decision":
        curve, first = (found.decision, "threshold")
    columns: dict[str, list[float]] = {first: [], "model": [], "reference": []}
    if curve is None:
        return pd.DataFrame(columns, dtype=float)
    values = (curve.x, curve.model, curve.reference)
    return pd.DataFrame(dict(zip(columns, values, strict=True)))


def _figure_row(measure: Measure) -> tuple[object, ...]:
    span = ""
    if math.isfinite(measure.low):
        span = f"{measure.low:.3f} to {measure.high:.3f}"
    value = text.Digits(f"{measure.value:.3f}")
    return (measure.name, value, span, measure.release, measure.note)


def _subgroup_row(found: Subgroup) -> dict[str, Any]:
    row = asdict(found)
    index = row.pop("index")
    return {**row, **{k: index[k] for k in ("value", "low", "high")}}

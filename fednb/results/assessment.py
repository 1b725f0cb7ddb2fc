"""The report of an assessment, under the headings of TRIPOD+AI.

Collins and others, BMJ 385:e078378 (2024): what a study that evaluates a prediction
model reports. What only people know (setting, treatment, funding) is left to them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fednb.display import html, text
from fednb.errors import InputError, RunError, UnknownNameError
from fednb.results.parts import PooledResult, count_text, new_axes, plain
from fednb.results.performance import performance_of
from fednb.results.report import Section, write_report
from fednb.results.tripod import chapters
from fednb.survival.assessment import AssessmentDesign, AssessmentState

if TYPE_CHECKING:
    from pathlib import Path

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
_UNKNOWN = "not estimated"
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
    names
        Of the model's coefficients; empty where not known.
    shares
        Of each of `sites` in the datasets' patients, by the rounded numbers that their
        owners published; empty where not known.
    """

    plan: AssessmentPlan
    performance: Performance
    n: int
    events: int
    missing: tuple[tuple[str, int], ...] = ()
    trained: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

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

    def save(self, path: str | Path) -> Path:
        """Write the report as one HTML file, with its plots; return the file.

        Parameters
        ----------
        path
            The file to write; its folder must exist.

        Raises
        ------
        OSError
            The file cannot be written; an earlier one is untouched.
        """
        kinds = ["calibration", "brier" if self.performance.brier else "decision"]
        drawn = [self.plot(kind, _own_axes()) for kind in kinds]
        sections = [Section("Evaluation", [self]), Section("Plots", drawn)]
        return write_report(path, sections, title="Evaluation report")

    def _plot_calibration(self, axes: Axes) -> Axes:
        axes.plot([0, 1], [0, 1], color="grey", ls="--", linewidth=1)
        most = 0.0
        for time, groups in self.performance.calibration:
            label = "all" if math.isnan(time) else f"by {time:g}"
            half = 1.96 * groups.std_error
            lower = np.minimum(half, groups.observed)
            upper = np.minimum(half, 1 - groups.observed)
            most = max(most, *groups.predicted, *(groups.observed + upper))
            axes.errorbar(
                groups.predicted,
                groups.observed,
                yerr=np.maximum([lower, upper], 0.0),
                marker="o",
                capsize=2,
                linewidth=1,
                label=label,
            )
        # as far as there is something, and as far on either axis
        axes.set_xlim(0, min(1.05 * most, 1.0) or 1.0)
        axes.set_ylim(axes.get_xlim())
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed (95 % CI)")
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
        for heading, facts in chapters(self):
            lines += ["", heading, text.fields(facts, indent="  ")]
        lines += ["", "Model performance", text.table(_FIGURES, self._figures())]
        if self.performance.subgroups:
            lines += ["", "Fairness: subgroups", text.table(_GROUPS, self._groups())]
        return self._page_text("Evaluation report", *lines, "")

    def _html(self) -> Html:
        parts: list[Html] = []
        for heading, facts in chapters(self):
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
        names=_coefficients(plan, design),
    )


def _coefficients(plan: AssessmentPlan, design: AssessmentDesign) -> tuple[str, ...]:
    model = plan.model
    units = len(model.coefficients) - model.table_width()
    read = [f"unit_{j}" for j in range(units)]
    if model.features == "score":
        read = ["score"]
    return (*read, *(design.terms.names() if design.terms else ()))


def _own_axes() -> Axes:
    """Return axes of a figure that no notebook shows, nor pyplot keeps."""
    from matplotlib.figure import Figure

    return Figure(figsize=(5.4, 3.4), layout="constrained").subplots()


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
    known = math.isfinite(measure.value)
    value = text.Digits(f"{measure.value:.3f}" if known else _UNKNOWN)
    return (measure.name, value, span, measure.release, measure.note)


def _subgroup_row(found: Subgroup) -> dict[str, Any]:
    row = asdict(found)
    index = row.pop("index")
    return {**row, **{k: index[k] for k in ("value", "low", "high")}}

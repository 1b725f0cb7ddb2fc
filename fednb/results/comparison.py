"""Figures side by side: federated, local-only, central, age-only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import InputError, UnknownNameError
from fednb.results.parts import MAX_TITLE, new_axes, plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from fednb.display.html import Html


@dataclass(frozen=True)
class ComparisonRow:
    """One contestant.

    Attributes
    ----------
    name
        For example ``"federated"``.
    scores
        One a metric; NaN where it does not apply.
    errors
        Standard errors, one a metric; empty if unknown.
    note
        A remark; for a reference that may not win, say why.
    ranked
        Whether it can be the best: an oracle or a central model cannot.
    """

    name: str
    scores: tuple[float, ...]
    errors: tuple[float, ...] = ()
    note: str = ""
    ranked: bool = True


@dataclass(frozen=True, repr=False)
class ComparisonTable(Shown):
    """Contestants by metrics, the best of each metric highlighted.

    Attributes
    ----------
    title
        What is compared.
    metrics
        Names of the columns, for example ``("AUC", "Brier")``.
    rows
        One a contestant, in the order to show.
    lower_is_better
        Metrics whose smallest value is the best; of others it is the largest.

    Raises
    ------
    InputError
        A row does not have one score, or one error, a metric.
    """

    title: str
    metrics: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]
    lower_is_better: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse rows of another width than the metrics."""
        for row in self.rows:
            widths = {len(row.scores), len(row.errors) or len(self.metrics)}
            if widths != {len(self.metrics)}:
                message = (
                    f"Row {row.name!r} has {len(row.scores)} scores and "
                    f"{len(row.errors)} errors; {len(self.metrics)} metrics are named."
                )
                raise InputError(message)

    def best(self, metric: str) -> tuple[str, ...]:
        """Return the names of the best ranked rows of a metric; ties share.

        Raises
        ------
        UnknownNameError
            The table has no such metric.
        """
        column = self._column(metric)
        ranked = {
            row.name: row.scores[column]
            for row in self.rows
            if row.ranked and not math.isnan(row.scores[column])
        }
        if not ranked:
            return ()
        pick = min if metric in self.lower_is_better else max
        top = pick(ranked.values())
        return tuple(name for name, value in ranked.items() if value == top)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a contestant; columns are metrics and ``"METRIC SE"``."""
        import pandas as pd

        data = {}
        for j, metric in enumerate(self.metrics):
            data[metric] = [row.scores[j] for row in self.rows]
            if any(row.errors for row in self.rows):
                data[f"{metric} SE"] = [_error(row, j) for row in self.rows]
        return pd.DataFrame(data, index=pd.Index([r.name for r in self.rows], name=""))

    def plot(self, metric: str = "", ax: Axes | None = None) -> Axes:
        """Draw a metric with 95 % intervals where errors are known.

        Parameters
        ----------
        metric
            Its name; empty for the first one.
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        chosen = metric or self.metrics[0]
        column = self._column(chosen)
        rows = [r for r in reversed(self.rows) if math.isfinite(r.scores[column])]
        axes = new_axes(ax, len(rows))
        best = self.best(chosen)
        for place, row in enumerate(rows):
            error = _error(row, column)
            axes.errorbar(
                row.scores[column],
                place,
                xerr=1.96 * error if error > 0 else None,
                fmt="s",
                color="C0" if row.name in best else "k",
                mfc="C0" if row.name in best else "white",
                capsize=3,
            )
        names = [plain(row.name) for row in rows]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.5, len(names) - 0.5)
        axes.set_xlabel(plain(chosen))
        axes.set_title(plain(self.title, MAX_TITLE), fontsize="medium")
        return axes

    def _column(self, metric: str) -> int:
        if metric not in self.metrics:
            raise UnknownNameError("metric", metric, self.metrics)
        return self.metrics.index(metric)

    def _headers(self) -> list[str]:
        notes = ["note"] if any(row.note for row in self.rows) else []
        return ["", *self.metrics, *notes]

    def _notes(self, row: ComparisonRow) -> list[str]:
        return [row.note] if any(r.note for r in self.rows) else []

    def _text(self) -> str:
        best = [self.best(metric) for metric in self.metrics]
        rows = []
        for row in self.rows:
            cells = [
                text.Digits(_figure(row, j) + (" *" if row.name in best[j] else "  "))
                for j in range(len(self.metrics))
            ]
            rows.append([row.name, *cells, *self._notes(row)])
        grid = text.table(self._headers(), rows)
        ranked = all(row.ranked for row in self.rows)
        note = "* best" if ranked else "* best; references are not ranked"
        return f"{text.visible(self.title)}\n{grid}\n{note}"

    def _html(self) -> Html:
        best = [self.best(metric) for metric in self.metrics]
        rows = []
        for row in self.rows:
            cells: list[object] = [
                html.best_cell(_figure(row, j))
                if row.name in best[j]
                else text.Digits(_figure(row, j))
                for j in range(len(self.metrics))
            ]
            rows.append([row.name, *cells, *self._notes(row)])
        return html.table(self._headers(), rows, caption=self.title)


def _error(row: ComparisonRow, column: int) -> float:
    return row.errors[column] if row.errors else math.nan


def _figure(row: ComparisonRow, column: int) -> str:
    error = _error(row, column)
    spread = "" if math.isnan(error) else f" (SE {text.number(error)})"
    return text.number(row.scores[column]) + spread

"""Aggregate statistics of table columns, pooled over the sites."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from fednb.display import html, text
from fednb.errors import UnknownNameError
from fednb.privacy.summaries import LevelSummary
from fednb.results.parts import (
    MAX_HEADING,
    PooledResult,
    count_text,
    dataset_heading,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes

    from fednb.display.html import Html
    from fednb.privacy.summaries import Summary
    from fednb.records.datasets import ColumnKind


@dataclass(frozen=True)
class ColumnSummary:
    """Pooled statistics of one column, within one group.

    Attributes
    ----------
    name, kind, unit
        As on the datasets' cards.
    group
        Level of the column grouped by; empty without groups.
    n
        Patients having a value, rounded; 0 stands for none or below the threshold.
    mean, std
        In `unit`; NaN where suppressed or where the column holds labels.
    quantiles
        Value by probability.
    edges, counts
        Histogram: k + 1 edges on the owner's grid, and k counts; a site's bins are
        spread evenly over the grid.
    levels
        Rounded count by label.
    sites
        Number of sites that contribute.
    """

    name: str
    kind: ColumnKind
    unit: str = ""
    group: str = ""
    n: int = 0
    mean: float = math.nan
    std: float = math.nan
    quantiles: dict[float, float] = field(default_factory=dict)
    edges: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    levels: dict[str, int] = field(default_factory=dict)
    sites: int = 0

    @classmethod
    def of(cls, summary: Summary) -> Self:
        """Return what the pooling of `fednb.privacy.summaries` found."""
        column = summary.column
        about = (column.name, column.kind, column.unit, summary.group, summary.n)
        if isinstance(summary, LevelSummary):
            sites = max(summary.sites.values(), default=0)
            return cls(*about, levels=summary.counts, sites=sites)
        return cls(
            *about,
            mean=summary.mean,
            std=summary.std,
            quantiles=summary.quantiles,
            edges=summary.edges,
            counts=summary.counts,
            sites=summary.sites,
        )

    def proportion(self, level: str) -> float:
        """Return a level's share of `n`, from the rounded counts; NaN if suppressed."""
        count = self.levels[level]
        return count / self.n if count and self.n else math.nan


@dataclass(frozen=True, repr=False, kw_only=True)
class StatisticsResult(PooledResult):
    """Statistics of columns, one summary a column and group.

    Attributes
    ----------
    dataset
        Name of the dataset.
    columns
        One summary a column and group, in the order asked for.
    by
        Column grouped by; empty for none.
    """

    dataset: str
    columns: tuple[ColumnSummary, ...]
    by: str = ""

    def of(self, name: str) -> tuple[ColumnSummary, ...]:
        """Return the summaries of a column, one a group.

        Raises
        ------
        UnknownNameError
            The column was not asked for.
        """
        found = tuple(c for c in self.columns if c.name == name)
        if not found:
            raise UnknownNameError("column", name, {c.name for c in self.columns})
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table.

        Returns
        -------
        pandas.DataFrame
            Indexed by column, group and level (empty for numbers). Columns: unit, n,
            mean, std, one a quantile (``"25%"``), count, proportion, sites. ``n`` and
            ``count`` are missing where they are below the threshold.
        """
        import pandas as pd

        rows = list(self._rows())
        quantiles = [_percent(q) for q in self._quantiles()]
        columns = ["column", "group", "level", "unit", "n", "mean", "std", *quantiles]
        columns += ["count", "proportion", "sites"]
        frame = pd.DataFrame(rows, columns=columns)
        counts = {"n": "Int64", "count": "Int64", "sites": "Int64"}
        numbers = dict.fromkeys(["mean", "std", *quantiles, "proportion"], "float64")
        typed = frame.astype({**counts, **numbers})
        if self.profile != "open":
            typed[["n", "count"]] = typed[["n", "count"]].replace(0, pd.NA)
        return typed.set_index(["column", "group", "level"])

    def plot(self, column: str = "", ax: Axes | None = None) -> Axes:
        """Draw a column: histogram of a number, bars of labels, one set a group.

        Parameters
        ----------
        column
            Its name; empty for the first one.
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        summaries = self.of(column or self.columns[0].name)
        axes = new_axes(ax)
        for index, summary in enumerate(summaries):
            label = plain(f"{self.by} = {summary.group}") if summary.group else None
            if summary.levels:
                _bars(axes, summary, index, len(summaries), label)
            elif summary.counts:
                axes.stairs(summary.counts, summary.edges, label=label, fill=not label)
        first = summaries[0]
        unit = f" ({first.unit})" if first.unit else ""
        axes.set_xlabel(plain(first.name) + plain(unit))
        axes.set_ylabel("patients")
        if any(s.group for s in summaries):
            axes.legend()
        return axes

    def _quantiles(self) -> list[float]:
        return sorted({q for c in self.columns for q in c.quantiles})

    def _rows(self) -> Iterator[dict[str, object]]:
        for c in self.columns:
            base = {
                "column": c.name,
                "group": c.group,
                "level": "",
                "unit": c.unit,
                "n": c.n,
                "mean": c.mean,
                "std": c.std,
                **{_percent(q): value for q, value in c.quantiles.items()},
                "sites": c.sites,
            }
            if not c.levels:
                yield base
            for level, count in c.levels.items():
                share = c.proportion(level)
                yield {**base, "level": level, "count": count, "proportion": share}

    def _table(self) -> tuple[list[str], list[list[object]]]:
        """Return headers and cells for display; columns without a value are left out.

        Levels take one row each; whatever repeats from the row above is blank.
        """
        names = ["column", *([self.by] if self.by else []), "level", "n", "mean", "std"]
        keys = ["column", *(["group"] if self.by else []), "level", "n", "mean", "std"]
        for q in self._quantiles():
            names.append(_percent(q))
            keys.append(_percent(q))
        names += ["count", "proportion", "sites"]
        keys += ["count", "proportion", "sites"]
        rows = [[self._cell(row, key) for key in keys] for row in self._rows()]
        kept = [j for j in range(len(keys)) if any(row[j] != "" for row in rows)]
        return [names[j] for j in kept], [[row[j] for j in kept] for row in rows]

    def _cell(self, row: dict[str, object], key: str) -> object:
        value = row.get(key, "")
        if key == "column" and row["unit"]:
            return f"{value} ({row['unit']})"
        if key in {"n", "count"} and isinstance(value, int):
            return text.Digits(count_text(value, self.profile))
        if isinstance(value, float):
            return "" if math.isnan(value) else text.Digits(text.number(value, 2))
        return value

    def _heading(self) -> str:
        return dataset_heading("Statistics", self.dataset, self)

    def _text(self) -> str:
        return self._page_text(self._heading(), "", text.table(*self._table()), "")

    def _html(self) -> Html:
        heading = html.element("p", html.escape(self._heading(), MAX_HEADING))
        return self._page_html(heading, html.table(*self._table()))


def _percent(q: float) -> str:
    return f"{100 * q:g}%"


def _bars(
    axes: Axes, summary: ColumnSummary, index: int, groups: int, label: str | None
) -> None:
    width = 0.8 / groups
    places = [
        i + (index - (groups - 1) / 2) * width for i in range(len(summary.levels))
    ]
    axes.bar(places, list(summary.levels.values()), width=width, label=label)
    axes.set_xticks(range(len(summary.levels)), [plain(n) for n in summary.levels])

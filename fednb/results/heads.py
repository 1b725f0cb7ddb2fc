"""What Cox and logistic heads share: the table of a fit, printing and a forest plot."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from fednb.display import html, text
from fednb.errors import UnknownNameError
from fednb.results.caller_rows import design, expanded
from fednb.results.parts import PooledResult, new_axes, plain
from fednb.survival.newton_options import FIXED_POINT
from fednb.survival.wald import WaldTable, wald_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.survival.concordance import PairCounts
    from fednb.survival.formula import Terms

    Floats = NDArray[np.float64]

_TOLD = 0.02
"""Share of a standard error that is told."""

MAX_COVARIATES = 60
"""Rows of a fit's table that a repr shows."""


class Estimate(Protocol):
    """What a head's estimate holds, see `fednb.survival`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the design, p of them."""

    @property
    def coefficients(self) -> Floats:
        """Shape (p,)."""

    @property
    def covariance(self) -> Floats:
        """Shape (p, p)."""

    @property
    def log_likelihood(self) -> float:
        """At the estimate, without the penalty."""

    @property
    def n(self) -> int:
        """Patients."""

    @property
    def evaluations(self) -> int:
        """Evaluations of the sums that the fit took."""


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class HeadResult(PooledResult):
    """A fitted head; `CoxResult` and `LogisticResult` say what it predicts.

    Attributes
    ----------
    estimate
        Coefficients, covariance and likelihood.
    penalizer, l1_ratio
        Elastic net, in lifelines' meaning.
    terms
        How the covariates' columns come from those of a table; None: they are columns.
    pairs
        Pairs of patients within sites by how the score orders them; None without an
        evaluation.
    index_se
        Standard error of the share of `pairs` in order; NaN if unknown.
    evaluated_on
        Split behind `pairs`.
    precision_shift
        Largest effect of rounding on a coefficient, in standard errors (disclosure
        rule 20); the covariance is inflated for it already.
    shifts
        By cause, how far each coefficient may have moved, in its standard errors; see
        `shifts_`.
    level
        Confidence level of intervals.
    """

    estimate: Estimate
    penalizer: float = 0.0
    l1_ratio: float = 0.0
    terms: Terms | None = None
    pairs: PairCounts | None = None
    index_se: float = math.nan
    evaluated_on: str = "test"
    precision_shift: float = 0.0
    shifts: Mapping[str, Floats] = field(default_factory=dict)
    level: float = 0.95

    title: ClassVar[str] = ""
    ratio: ClassVar[str] = ""
    index_name: ClassVar[str] = ""

    @property
    def summary(self) -> pd.DataFrame:
        """Table of the fit under lifelines' column names, indexed by covariate."""
        import pandas as pd

        table = self._wald()
        return pd.DataFrame(dict(table.columns), index=self._index())

    def to_frame(self) -> pd.DataFrame:
        """Return `summary`."""
        return self.summary

    @property
    def params_(self) -> pd.Series[float]:
        """Coefficients by covariate."""
        import pandas as pd

        return pd.Series(self.estimate.coefficients, index=self._index(), name="coef")

    @property
    def standard_errors_(self) -> pd.Series[float]:
        """Standard errors of the coefficients."""
        import pandas as pd

        errors = np.sqrt(np.diagonal(self.estimate.covariance))
        return pd.Series(errors, index=self._index(), name="se")

    @property
    def variance_matrix_(self) -> pd.DataFrame:
        """Covariance of the coefficients, shape (p, p)."""
        import pandas as pd

        names = list(self.estimate.names)
        return pd.DataFrame(self.estimate.covariance, index=names, columns=names)

    @property
    def confidence_intervals_(self) -> pd.DataFrame:
        """Bounds of the coefficients at `level`."""
        label = f"{100 * self.level:g}%"
        both = self.summary[[f"coef lower {label}", f"coef upper {label}"]]
        return both.set_axis([f"{label} lower-bound", f"{label} upper-bound"], axis=1)

    @property
    def shifts_(self) -> pd.DataFrame:
        """How far disclosure control moved each coefficient, in standard errors.

        ``rounding``: the standard deviation of what rounded totals do to it; the errors
        are inflated for it. ``errors``: that of what rounding does to a standard error,
        as a share of it; the errors are widened by two of these, which counts where
        columns are much alike. ``intervals``, of a fit pooled on a time grid: the step
        from the fit stratified by site on times as they are, to first order.
        """
        import pandas as pd

        return pd.DataFrame(dict(self.shifts), index=self._index())

    def design_matrix(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the columns of the fit for rows that the caller owns.

        Parameters
        ----------
        rows
            A table with the columns that the formula or the covariates name.

        Returns
        -------
        pandas.DataFrame
            Shape (n, p), under the names of the coefficients.

        Raises
        ------
        UnknownNameError
            A column is missing.
        """
        import pandas as pd

        values, index = self._values(rows, self._constant())
        return pd.DataFrame(values, index=index, columns=list(self.estimate.names))

    def print_summary(
        self, decimals: int = 2, columns: Sequence[str] | None = None
    ) -> None:
        """Write the fit to standard output, as lifelines does.

        Parameters
        ----------
        decimals
            Decimal places shown.
        columns
            Columns of `summary` to show; None for all.

        Raises
        ------
        UnknownNameError
            `summary` has no column of that name.
        """
        known = self._wald().columns
        for name in columns or ():
            if name not in known:
                raise UnknownNameError("column", name, known)
        chosen = list(columns or known)
        blocks = [chosen] if len(chosen) <= 7 else [chosen[:7], chosen[7:]]
        lines = [self.title, text.fields(self._facts(decimals)), ""]
        for block in blocks:
            lines += [self._text_table(block, decimals), ""]
        lines.append(text.fields(self._footers(decimals)))
        sys.stdout.write("\n".join(lines) + "\n")

    def plot(
        self, columns: Sequence[str] | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the coefficients with their intervals: a forest plot.

        Parameters
        ----------
        columns
            Covariates from the top; None for all, the largest on top.
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        UnknownNameError
            The fit has no covariate of that name.
        """
        return self._forest(columns, ax, ratios=False)

    def _forest(
        self, columns: Sequence[str] | None, ax: Axes | None, *, ratios: bool
    ) -> Axes:
        """Draw coefficients, or their exponentials on a scale of ratios."""
        names = self.estimate.names
        for name in columns or ():
            if name not in names:
                raise UnknownNameError("covariate", name, names)
        table = self._wald().columns
        values = table["coef"]
        order = np.argsort(values, kind="stable")
        if columns is not None:
            order = np.array([names.index(name) for name in reversed(columns)])
        half = values - table[f"coef lower {100 * self.level:g}%"]
        axes = new_axes(ax, order.size)
        places = np.arange(order.size)
        middle, reach = values[order], half[order]
        spread = np.array([reach, reach])
        if ratios:
            spread = np.exp(middle) * np.array([-np.expm1(-reach), np.expm1(reach)])
            middle = np.exp(middle)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("{x:g}")
        axes.errorbar(middle, places, xerr=spread, fmt="ks", mfc="white", capsize=3)
        axes.axvline(float(ratios), linestyle="--", color="grey", linewidth=1)
        axes.set_yticks(places, [plain(names[i]) for i in order])
        axes.set_ylim(-0.5, order.size - 0.5)
        shown = self.ratio if ratios else f"log({self.ratio})"
        axes.set_xlabel(f"{shown} ({100 * self.level:g}% CI)")
        return axes

    def _constant(self) -> str:
        """Return the name of the column that is 1 in every row; empty: none is."""
        return ""

    def _values(
        self, rows: pd.DataFrame | Floats, constant: str = ""
    ) -> tuple[Floats, pd.Index[int]]:
        """Return rows as a design matrix: expanded where they are not already."""
        import pandas as pd

        names = self.estimate.names
        if isinstance(rows, pd.DataFrame) and self.terms is not None:
            needed = [name for name in names if name != constant]
            if not all(name in rows.columns for name in needed):
                rows = expanded(rows, self.terms)
        return design(rows, names, constant)

    def _ratios(self) -> pd.Series[float]:
        import pandas as pd

        ratios = np.exp(self.estimate.coefficients)
        return pd.Series(ratios, index=self._index(), name="exp(coef)")

    def _index(self) -> pd.Index[str]:
        import pandas as pd

        return pd.Index(self.estimate.names, name="covariate")

    def _wald(self) -> WaldTable:
        fit = self.estimate
        return wald_table(fit.names, fit.coefficients, fit.covariance, self.level)

    def _facts(self, decimals: int) -> list[tuple[str, object]]:
        """Return what stands above the table."""
        shift = f"{self.precision_shift:.2g} SE at most, in the errors"
        facts: list[tuple[str, object]] = [
            ("sites", ", ".join(self.sites)),
            ("number of observations", self.estimate.n),
            ("log-likelihood", f"{self.estimate.log_likelihood:.{decimals}f}"),
            ("evaluations", self.estimate.evaluations),
        ]
        if self.penalizer:
            share = f", l1 ratio {self.l1_ratio:g}" if self.l1_ratio else ""
            facts.append(("penalizer", f"{self.penalizer:g}{share}"))
        # what fixed-point sums move is no disclosure control
        if self.precision_shift > FIXED_POINT:
            facts.append(("effect of rounding", shift))
        blur = np.max(self.shifts.get("errors", 0.0))
        if blur > _TOLD:
            told = f"{100 * blur:.0f} % at most, and wider by twice that"
            facts.append(("errors, by rounding", told))
        if "intervals" in self.shifts:
            moved = np.abs(self.shifts["intervals"]).max()
            facts.append(("effect of intervals", f"{moved:.2g} SE at most"))
        return facts

    def _footers(self, decimals: int) -> list[tuple[str, object]]:
        """Return what stands below the table."""
        if self.pairs is None or not self.pairs.comparable:
            return []
        name = f"{self.index_name} ({self.evaluated_on}, pairs within sites)"
        shown = f"{self.pairs.index:.{max(decimals, 3)}f}"
        if math.isfinite(self.index_se):
            shown += f" (se {self.index_se:.{max(decimals, 3)}f})"
        return [(name, shown)]

    def _shown_columns(self) -> list[str]:
        label = f"{100 * self.level:g}%"
        bounds = [f"exp(coef) lower {label}", f"exp(coef) upper {label}"]
        return ["coef", "exp(coef)", "se(coef)", *bounds, "z", "p"]

    def _rows(self, columns: Sequence[str], decimals: int) -> list[list[object]]:
        table = self._wald().columns
        shown = [_formatted(name, table[name], decimals) for name in columns]
        names = self.estimate.names
        return [[name, *(c[i] for c in shown)] for i, name in enumerate(names)]

    def _text_table(self, columns: Sequence[str], decimals: int) -> str:
        rows = self._rows(columns, decimals)
        return text.table(["covariate", *columns], rows, max_rows=MAX_COVARIATES)

    def _text(self) -> str:
        above = text.fields(self._facts(2), indent="  ")
        grid = self._text_table(self._shown_columns(), 2)
        below = text.fields(self._footers(2), indent="  ")
        return self._page_text(self.title, above, "", grid, "", below)

    def _html(self) -> Html:
        columns = self._shown_columns()
        rows = self._rows(columns, 2)
        return self._page_html(
            html.element("h3", self.title),
            html.definition_list(self._facts(2)),
            html.table(["covariate", *columns], rows, max_rows=MAX_COVARIATES),
            html.definition_list(self._footers(2)),
        )


def _formatted(name: str, values: Floats, decimals: int) -> list[text.Digits]:
    """Return a column of the table; p values as lifelines shows them."""
    floor = 0.5 * 10.0**-decimals
    small = f"<{floor:.{decimals + 1}f}"
    return [
        text.Digits(small if name == "p" and value < floor else _fixed(value, decimals))
        for value in values.tolist()
    ]


def _fixed(value: float, decimals: int) -> str:
    if not math.isfinite(value) or abs(value) < 1e6:
        return f"{value:.{decimals}f}"
    return f"{value:.{decimals}e}"

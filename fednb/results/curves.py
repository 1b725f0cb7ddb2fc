"""Survival curves of groups: tables, tests and plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.display import html, text
from fednb.errors import InputError, UnknownNameError
from fednb.privacy.profiles import profile_named
from fednb.privacy.rounding import show_count
from fednb.results.curve_plots import Steps, at_risk_table, draw_steps
from fednb.results.curve_tables import (
    curves_table,
    incidence_table,
    means_table,
    survival_table,
    table_at,
)
from fednb.results.parts import MAX_HEADING, PooledResult, count_text, sites_line
from fednb.survival.aalen_johansen import CumulativeIncidence, aalen_johansen
from fednb.survival.kaplan_meier import SurvivalCurve, kaplan_meier_from_counts
from fednb.survival.logrank import LogRankTest, logrank_sums, logrank_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.survival.curves import CurveTables

    Floats = NDArray[np.float64]

_HEADERS = ("group", "patients", "events", "sites", "median", "95% CI")
_NOT_REACHED = "not reached"


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class SurvivalResult(PooledResult):
    """The result of a `SurvivalPlan`: one curve a group.

    Attributes
    ----------
    tables
        Totals over the sites.
    ends
        Of the intervals.
    labels
        Of the groups, in the order of the tables; one empty label without groups.
    duration, event, by, competing
        Columns; the last two may be empty.

    Notes
    -----
    Under all profiles but the open one, times are merged intervals, counts are rounded,
    and a group's deaths count only from sites that may show them.
    """

    tables: CurveTables
    ends: tuple[float, ...]
    labels: tuple[str, ...]
    duration: str
    event: str
    by: str = ""
    competing: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups that have a curve."""
        return tuple(g for g in self.labels if self._length(g, (0,)))

    def __getitem__(self, group: str) -> SurvivalCurve:
        """Return the Kaplan-Meier curve of a group; other causes are censorings.

        Raises
        ------
        UnknownNameError
            There is no such group.
        InputError
            The group has no curve.
        """
        steps = self._known_length(group, (0,))
        place = self.labels.index(group)
        died = self.tables.deaths[0, place, :steps]
        risk = self.tables.exposed[0, place, :steps]
        later = np.append(self.tables.exposed[0, place], 0.0)[1 : steps + 1]
        gone = np.maximum(risk - died - later, 0.0)
        return kaplan_meier_from_counts(self.ends[:steps], died, gone, risk)

    @property
    def median_survival_time_(self) -> pd.Series[float]:
        """Median of each group; infinite where it is not reached."""
        import pandas as pd

        curves = self._curves()
        index = pd.Index(list(curves), name="group")
        medians = [curve.quantile() for curve in curves.values()]
        return pd.Series(medians, index=index, name="median")

    @property
    def survival_function_(self) -> pd.DataFrame:
        """Survival by time (rows) and group (columns), from time 0 on.

        After the end of its curve a group has no value (a missing one): nobody may be
        followed there.
        """
        return survival_table(self._curves(), self.ends, self.duration)

    def at(self, times: Iterable[float], level: float = 0.95) -> pd.DataFrame:
        """Return survival with its bounds at given times, a row a group and time.

        Parameters
        ----------
        times
            Between 0 and the end of every curve.
        level
            Confidence level of the bounds.

        Raises
        ------
        InputError
            A curve does not reach a time, or the level lies outside (0, 1).
        """
        return table_at(self._curves(), list(times), self.duration, level)

    def rmst(self, horizon: float = 0.0, level: float = 0.95) -> pd.DataFrame:
        """Return the restricted mean survival time of each group.

        Parameters
        ----------
        horizon
            Where follow-up is cut; 0: the end of the shortest curve.
        level
            Confidence level of the bounds.

        Returns
        -------
        pandas.DataFrame
            Indexed by group: rmst, se, lower, upper; then the differences to the first
            group with their bounds and p value.

        Raises
        ------
        InputError
            A curve does not reach the horizon, or the level lies outside (0, 1).
        """
        return means_table(self._curves(), horizon, level)

    def log_rank_test(self, cause: str = "", *, stratified: bool = True) -> LogRankTest:
        """Test whether the groups differ.

        Parameters
        ----------
        cause
            The event's column, or the competing one's; empty: the event.
        stratified
            Compare patients within sites. Without it, the pooled counts of the curves
            are compared, which merged intervals and rounding blur.

        Raises
        ------
        UnknownNameError
            There is no such cause.
        """
        place = self._cause(cause or self.event)
        if stratified:
            return logrank_test(self.tables.tests[place])
        deaths, exposed = self.tables.deaths[place], self.tables.exposed[place]
        return logrank_test(logrank_sums(deaths, exposed))

    def cumulative_incidence(
        self, group: str = "", level: float = 0.95
    ) -> pd.DataFrame:
        """Return the chance of each cause by time (Aalen and Johansen).

        Parameters
        ----------
        group
            Which; empty without groups.
        level
            Confidence level of the bounds (normal, within 0 and 1).

        Returns
        -------
        pandas.DataFrame
            Indexed by cause and time: incidence, se, lower, upper.

        Raises
        ------
        UnknownNameError
            There is no such group.
        InputError
            A cause of the group is not shown by any site.
        """
        found = self.incidence(group)
        return incidence_table(found, self._causes(), self.duration, level)

    def incidence(self, group: str = "") -> CumulativeIncidence:
        """Return what `cumulative_incidence` shows, as arrays; same arguments."""
        causes = tuple(range(len(self._causes())))
        steps = self._known_length(group, causes)
        place = self.labels.index(group)
        died = self.tables.deaths[:, place, :steps]
        risk = self.tables.exposed[:, place, :steps]
        # causes that were rounded apart may together exceed those at risk
        share = np.divide(died, risk, out=np.zeros_like(died), where=risk > 0)
        scale = np.maximum(share.sum(axis=0), 1.0)
        return aalen_johansen(self.ends[:steps], died / scale, risk)

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return all curves, a row a group and interval.

        Parameters
        ----------
        level
            Confidence level of the bounds.
        """
        return curves_table(self._curves(), self.duration, level)

    def plot(
        self, ax: Axes | None = None, *, level: float = 0.95, at_risk: bool = True
    ) -> Axes:
        """Draw the curves with bands, and the numbers at risk below; return the axes.

        Parameters
        ----------
        ax
            Axes to draw on; None for a new figure.
        level
            Confidence level of the bands.
        at_risk
            Whether the table stands below.
        """
        steps = []
        for name, curve in self._curves().items():
            label = name if self.by else ""
            bounds = curve.band(level)
            steps.append(Steps(label, curve.time, curve.survival, *bounds, 1.0))
        names = (self.duration, f"survival ({100 * level:g}% CI)")
        lines = len(self.labels) + 1 if at_risk else 0
        end = self.ends[-1]
        axes = draw_steps(steps, ax, end=end, labels=names, below=lines)
        if at_risk:
            rounded = "" if profile_named(self.profile).exact else ", rounded"
            title = f"Number at risk{rounded}"
            at_risk_table(axes, self.labels, self.at_risk_text, title)
        return axes

    def plot_incidence(self, group: str = "", ax: Axes | None = None) -> Axes:
        """Draw the cumulative incidence of each cause in a group; return the axes.

        Parameters
        ----------
        group, ax
            As for `cumulative_incidence` and `plot`.
        """
        found = self.incidence(group)
        steps = []
        for place, cause in enumerate(self._causes()):
            value, half = found.incidence[place], 1.96 * found.std_error[place]
            lower, upper = np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)
            steps.append(Steps(cause, found.time, value, lower, upper, 0.0))
        names = (self.duration, "cumulative incidence (95% CI)")
        return draw_steps(steps, ax, end=self.ends[-1], labels=names)

    def at_risk_text(self, group: str, times: Sequence[float]) -> list[str]:
        """Return numbers at risk at given times as they may be shown."""
        counts = self.tables.at_risk[self.labels.index(group)]
        begins = np.array([0.0, *self.ends[:-1]])
        # of the last interval that has begun
        places = np.searchsorted(begins, np.asarray(times), side="right") - 1
        return [self._shown(counts[max(place, 0)]) for place in places.tolist()]

    def _shown(self, count: float) -> str:
        return show_count(round(count), profile_named(self.profile))

    def _causes(self) -> tuple[str, ...]:
        return (self.event, self.competing) if self.competing else (self.event,)

    def _cause(self, name: str) -> int:
        if name not in self._causes():
            raise UnknownNameError("cause", name, self._causes())
        return self._causes().index(name)

    def _length(self, group: str, causes: tuple[int, ...]) -> int:
        """Return how many intervals a curve has: cut where too few are at risk."""
        place = self.labels.index(group)
        least = max(profile_named(self.profile).threshold, 1)
        exposed = self.tables.exposed[list(causes), place].min(axis=0)
        # a number at risk that went through a secure sum is off by its last digit
        enough = np.flatnonzero(exposed > least - 1e-6)
        return int(enough[-1]) + 1 if enough.size else 0

    def _known_length(self, group: str, causes: tuple[int, ...]) -> int:
        if group not in self.labels:
            raise UnknownNameError("group", group, self.labels)
        steps = self._length(group, causes)
        if not steps:
            rules = profile_named(self.profile)
            message = (
                f"There is no curve of {self._name(group)!r}: no site has "
                f"{rules.threshold} patients at risk and {rules.threshold} events of "
                "each kind in it. Merge groups or widen the follow-up."
            )
            if rules.exact:
                message = f"There is no curve of {self._name(group)!r}: it has nobody."
            raise InputError(message)
        return steps

    def _curves(self) -> dict[str, SurvivalCurve]:
        return {self._name(group): self[group] for group in self.groups}

    def _name(self, group: str) -> str:
        return f"{self.by}={group}" if self.by else "all"

    def _rows(self) -> list[tuple[object, ...]]:
        return [self._row(place, group) for place, group in enumerate(self.labels)]

    def _row(self, place: int, group: str) -> tuple[object, ...]:
        n = text.Digits(count_text(round(self.tables.patients[place]), self.profile))
        sites = f"{round(self.tables.shown[0, place])} of {len(self.sites)}"
        if group not in self.groups:
            return (self._name(group), n, None, text.Digits(sites), None, None)
        curve = self[group]
        events = text.Digits(self._shown(float(curve.deaths.sum())))
        bounds = ", ".join(_time(bound) for bound in curve.quantile_interval())
        middle = text.Digits(_time(curve.quantile()))
        return (self._name(group), n, events, text.Digits(sites), middle, bounds)

    def _heading(self) -> str:
        return sites_line(f"Survival by {text.visible(self.duration)}", self.sites)

    def _facts(self) -> list[tuple[str, object]]:
        facts: list[tuple[str, object]] = [("event", self.event)]
        if self.competing:
            facts.append(("competing event", self.competing))
        if len(self.labels) > 1:
            test = self.log_rank_test()
            found = (
                f"chi-squared {test.test_statistic:.2f} on {test.degrees_freedom} df, "
                f"p = {test.p_value:.2g}"
            )
            shown = found if test.degrees_freedom else "nothing to compare"
            facts.append(("log-rank test, stratified by site", shown))
        if self.profile != "open":
            facts.append(("times", "merged intervals; counts are rounded"))
        return facts

    def _text(self) -> str:
        facts = text.fields(self._facts(), indent="  ")
        grid = text.table(_HEADERS, self._rows())
        return self._page_text(self._heading(), facts, "", grid, "")

    def _html(self) -> Html:
        return self._page_html(
            html.element("p", html.escape(self._heading(), MAX_HEADING)),
            html.definition_list(self._facts()),
            html.table(_HEADERS, self._rows()),
        )


def _time(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else _NOT_REACHED

"""A fitted Cox model that reads like lifelines; logistic heads beside it."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fednb.errors import InputError
from fednb.results.clothing import lifelines_attributes
from fednb.results.heads import HeadResult
from fednb.results.likelihood import LikelihoodRatioTest
from fednb.results.logistic import LogisticResult, within_sites
from fednb.results.time_varying import advice as next_step
from fednb.results.time_varying import draw_effect, steps_text
from fednb.survival.episodes import Steps

__all__ = ["CoxResult", "LikelihoodRatioTest", "LogisticResult"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.results.baseline import Baseline
    from fednb.survival.coxph import CoxEstimate
    from fednb.survival.ph_test import PhTest

    Rows = pd.DataFrame | NDArray[np.float64]


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class CoxResult(HeadResult):
    """The result of a `CoxPlan`; it reads like ``lifelines.CoxPHFitter``.

    Attributes
    ----------
    estimate
        Coefficients in the covariates' own units, covariance, means, likelihoods,
        patients and events.
    duration, event
        Columns of follow-up times and of events.
    strata
        ``"site"``: each site has its own baseline hazard. None of these leaves; with a
        grid, `baseline` is that of all sites pooled, at the stratified coefficients.
        Without ``"site"`` the fit itself is pooled on the grid.
    ties
        ``"efron"`` or ``"breslow"``.
    baseline
        Cumulative baseline hazards on the grid; None without one.
    robust
        Whether `standard_errors_` and all that follows from them are the sandwich's.
    model_covariance
        Inverse information, in the covariates' own units; None: the estimate's.
    ph_test
        Test of proportional hazards; None where the plan asked for none.
    steps
        Which coefficients act when, where effects change with time; else None.
    """

    estimate: CoxEstimate
    duration: str = "time"
    event: str = "event"
    strata: str = "site"
    ties: str = "efron"
    baseline: Baseline | None = None
    robust: bool = False
    model_covariance: NDArray[np.float64] | None = None
    ph_test: PhTest | None = None
    steps: Steps | None = None

    title: ClassVar[str] = "Cox proportional hazards, federated"
    ratio: ClassVar[str] = "HR"
    index_name: ClassVar[str] = "Concordance"

    @property
    def hazard_ratios_(self) -> pd.Series[float]:
        """Exponentials of the coefficients."""
        return self._ratios()

    @property
    def log_likelihood_(self) -> float:
        """Log partial likelihood minus the penalty, as lifelines reports it."""
        return self.estimate.log_likelihood_penalised

    @property
    def AIC_partial_(self) -> float:  # noqa: N802
        """Akaike's criterion from the partial likelihood; the name is lifelines'."""
        return 2 * len(self.estimate.names) - 2 * self.log_likelihood_

    @property
    def concordance_index_(self) -> float:
        """Harrell's C from pairs within sites, on `evaluated_on`; NaN if unknown."""
        return within_sites(self)

    @property
    def concordance_index_se_(self) -> float:
        """Standard error of `concordance_index_` within sites; NaN if unknown."""
        return self.index_se

    # typing.override came with Python 3.12
    @property
    def variance_matrix_(self) -> pd.DataFrame:  # type: ignore[explicit-override]
        """Inverse information, shape (p, p), as in lifelines also of a robust fit."""
        import pandas as pd

        if self.model_covariance is None:
            return super().variance_matrix_
        names = list(self.estimate.names)
        return pd.DataFrame(self.model_covariance, index=names, columns=names)

    @property
    def baseline_cumulative_hazard_(self) -> pd.DataFrame:
        """Cumulative baseline hazard on the grid, at the covariates' means.

        Breslow's, as lifelines'; ``baseline.to_frame("efron", ...)`` has Efron's.

        Raises
        ------
        InputError
            The plan had no grid.
        """
        return self._grid().to_frame("breslow", "baseline cumulative hazard")

    @property
    def baseline_survival_(self) -> pd.DataFrame:
        """Survival of a patient at the covariates' means, on the grid."""
        frame = self._grid().to_frame("breslow", "baseline survival")
        return (-frame).apply(np.exp)

    def check_assumptions(
        self, *, advice: bool = True, p_value_threshold: float = 0.01
    ) -> pd.DataFrame:
        """Return the test of proportional hazards, a row a covariate and one for all.

        The score test of Grambsch and Therneau, as ``cox.zph`` of R's survival; a small
        p says that the effect changes with time. The next step is a plan with
        ``time_varying={"age": (12, 24)}``: a coefficient for each interval.

        Parameters
        ----------
        advice
            Whether to write that next step for the effects below the threshold.
        p_value_threshold
            As in lifelines.

        Raises
        ------
        InputError
            The plan asked for none.
        """
        import pandas as pd

        test = self.ph_test
        if test is None:
            message = (
                "This fit brought no test: give the plan ph_test='identity' or 'log'."
            )
            raise InputError(message)
        lines = next_step(test, self.terms, p_value_threshold) if advice else ""
        if lines:
            sys.stdout.write(lines + "\n")
        return pd.DataFrame(
            {
                "test_statistic": [*test.test_statistic, test.global_statistic],
                "p": [*test.p_value, test.global_p_value],
                "df": [*(1 for _ in test.names), test.degrees_freedom],
            },
            index=[*test.names, "GLOBAL"],
        )

    # typing.override came with Python 3.12
    def plot(  # type: ignore[explicit-override]
        self,
        columns: Sequence[str] | None = None,
        ax: Axes | None = None,
        *,
        hazard_ratios: bool = False,
    ) -> Axes:
        """Draw coefficients, or hazard ratios; see `HeadResult.plot`."""
        return self._forest(columns, ax, ratios=hazard_ratios)

    def plot_effect(self, covariate: str, ax: Axes | None = None) -> Axes:
        """Draw an effect that changes with time: steps with bands at `level`.

        Parameters
        ----------
        covariate
            A covariate of the plan's ``time_varying``, as coefficients are named before
            their intervals.
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on; the last interval, which has no end, is cut.

        Raises
        ------
        UnknownNameError
            No effect of that name changes with time.
        """
        table, label = self._wald().columns, f"{100 * self.level:g}%"
        names = ("coef", f"coef lower {label}", f"coef upper {label}")
        bounds = np.array([table[name] for name in names])
        labels = (self.duration, f"log({self.ratio}) of {covariate} ({label} CI)")
        return draw_effect(self.steps or Steps(), covariate, bounds, ax, labels=labels)

    def log_likelihood_ratio_test(self) -> LikelihoodRatioTest:
        """Test all covariates together against none."""
        fit = self.estimate
        return LikelihoodRatioTest.of(
            self.log_likelihood_, fit.log_likelihood_null, len(fit.names)
        )

    def predict_log_partial_hazard(self, rows: Rows) -> pd.Series[float]:
        """Return the linear predictor of rows that the caller owns.

        Parameters
        ----------
        rows
            A table with the covariates' columns in any order, or an array of shape
            (n, p) in their order.

        Returns
        -------
        pandas.Series
            Shape (n,); 0 at the covariates' means, higher for an earlier death.

        Raises
        ------
        UnknownNameError
            A covariate is missing.
        """
        import pandas as pd

        values, index = self._values(rows)
        return pd.Series(self.estimate.log_hazard(values), index=index)

    def predict_partial_hazard(self, rows: Rows) -> pd.Series[float]:
        """Return the exponential of `predict_log_partial_hazard`."""
        import pandas as pd

        values, index = self._values(rows)
        return pd.Series(np.exp(self.estimate.log_hazard(values)), index=index)

    def predict_cumulative_hazard(
        self, rows: Rows, times: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Return cumulative hazards of rows that the caller owns.

        Parameters
        ----------
        rows
            As for `predict_log_partial_hazard`; with the columns of strata.
        times
            Up to the last end of the grid; None: the ends.

        Returns
        -------
        pandas.DataFrame
            Shape (times, n): a row a time, a column a row of `rows`.

        Raises
        ------
        InputError
            The plan had no grid, or a time is beyond it.
        UnknownNameError
            A column is missing.
        """
        import pandas as pd

        known = self._grid()
        values, index = self._values(rows)
        at, hazards = known.at(times, "breslow")
        risk = np.exp(self.estimate.log_hazard(values))
        table = hazards[known.stratum(rows, len(values))].T * risk
        return pd.DataFrame(table, index=pd.Index(at), columns=index)

    def predict_survival_function(
        self, rows: Rows, times: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Return survival curves; see `predict_cumulative_hazard`."""
        return (-self.predict_cumulative_hazard(rows, times)).apply(np.exp)

    def to_lifelines(self) -> Any:  # noqa: ANN401
        """Return this fit as a ``lifelines.CoxPHFitter``.

        Returns
        -------
        lifelines.CoxPHFitter
            With `summary`, `print_summary`, `plot`, `predict_partial_hazard`,
            `predict_log_partial_hazard`, `log_likelihood_ratio_test` and the fitted
            attributes; with a grid also the baseline hazard and what follows from it.
            What needs rows is missing: these stay at the sites. The fitter knows the
            columns of `design_matrix`.
        """
        from lifelines import CoxPHFitter
        from lifelines.fitters.coxph_fitter import SemiParametricPHFitter

        given = {
            "penalizer": self.penalizer,
            "l1_ratio": self.l1_ratio,
            "strata": self.fitter_strata(),
            "alpha": 1 - self.level,
        }
        model = SemiParametricPHFitter(**given)
        vars(model).update(lifelines_attributes(self))
        columns = {"duration_col": self.duration, "event_col": self.event}
        fitter = CoxPHFitter(**given)
        vars(fitter).update({**columns, "_model": model})
        return fitter

    def fitter_strata(self) -> str | list[str] | None:
        """Return the strata that a lifelines fitter is told of.

        With a baseline pooled over the sites these are no strata of it.
        """
        if self.baseline is None:
            return self.strata or None
        return list(self.baseline.strata) or None

    # typing.override came with Python 3.12
    def _values(  # type: ignore[explicit-override]
        self, rows: Rows, constant: str = ""
    ) -> tuple[NDArray[np.float64], pd.Index[int]]:
        if self.steps:
            message = (
                "Effects of this fit change with time, so no patient has one score: "
                "read its coefficients by interval in summary and plot_effect(...)."
            )
            raise InputError(message)
        return super()._values(rows, constant)

    def _grid(self) -> Baseline:
        if self.baseline is None:
            message = (
                "This fit has no baseline hazard: give the plan a grid, such as "
                "grid=[6, 12, 24] in the unit of the follow-up."
            )
            raise InputError(message)
        return self.baseline

    # typing.override came with Python 3.12
    def _facts(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        likelihood = f"{self.log_likelihood_:.{decimals}f}"
        facts = dict(super()._facts(decimals))
        del facts["log-likelihood"]
        return [
            ("duration col", self.duration),
            ("event col", self.event),
            ("strata, ties", f"{self.strata or 'none'}, {self.ties}"),
            ("sites", facts.pop("sites")),
            ("number of observations", facts.pop("number of observations")),
            ("number of events observed", self.estimate.events),
            ("partial log-likelihood", likelihood),
            *facts.items(),
            *self._more_facts(),
        ]

    def _more_facts(self) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        if self.robust:
            found.append(("standard errors", "robust (sandwich)"))
        if self.steps:
            found.append(("effects over time", steps_text(self.steps)))
        if self.baseline is not None:
            ends = self.baseline.ends
            pooled = "pooled over the sites, Breslow, at the covariates' means"
            found.append(
                ("baseline hazard", f"{len(ends)} intervals to {ends[-1]:g}, {pooled}")
            )
        return found

    # typing.override came with Python 3.12
    def _footers(  # type: ignore[explicit-override]
        self, decimals: int
    ) -> list[tuple[str, object]]:
        test = self.log_likelihood_ratio_test()
        statistic = f"{test.test_statistic:.{decimals}f} on {test.degrees_freedom} df"
        surprise = -math.log2(max(test.p_value, math.ulp(0.0)))
        return [
            *super()._footers(decimals),
            ("Partial AIC", f"{self.AIC_partial_:.{decimals}f}"),
            ("log-likelihood ratio test", statistic),
            ("-log2(p) of ll-ratio test", f"{surprise:.{decimals}f}"),
        ]

"""The federated Cox fit against lifelines on the pooled rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter

from fednb.bench.report import Report, Target, median
from fednb.embedded.federation import Federation
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

SITES = ("a", "b", "c")
COVARIATES = tuple(f"x{number}" for number in range(10))
EXACT = 1e-12
"""Precision of the lifelines fit that coefficients are held against; by default it
stops at 1e-7, which leaves them some 1e-6 off."""

COMPARED_ROWS = 100_000
"""At this size the federated fit must be the faster one."""


@dataclass(frozen=True)
class Settings:
    """What to fit.

    Attributes
    ----------
    rows
        Sizes, all sites together.
    lifelines_up_to
        Largest size that lifelines fits too; beyond it its columns stay empty, since
        a figure that was not measured is not shown.
    repeats
        Fits a side; one from `lone_from` rows on.
    lone_from
        See `repeats`.
    """

    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    lifelines_up_to: int = 100_000
    repeats: int = 3
    lone_from: int = 1_000_000


FULL = Settings(lifelines_up_to=1_000_000)
QUICK = Settings(rows=(300,), repeats=1)


@dataclass(frozen=True)
class CoxRow:
    """One size.

    Attributes
    ----------
    rows, repeats
        See `Settings`.
    register_s
        Set-up, once a dataset: tables to CSV, checked, hashed, published at 3 sites.
    first_fit_s
        The first run, in which the sites hash and read their CSV.
    fit_s
        Median of runs, from the signed request to the result, ledger included.
    lifelines_s
        Median of ``CoxPHFitter().fit`` on the pooled frame, stratified by site.
    ratio
        ``fit_s / lifelines_s``.
    coef_difference, se_difference
        Largest absolute difference of coefficients and of standard errors, from a
        further lifelines fit that goes on to `EXACT`.
    """

    rows: int
    repeats: int
    register_s: float
    first_fit_s: float
    fit_s: float
    lifelines_s: float | None = None
    ratio: float | None = None
    coef_difference: float | None = None
    se_difference: float | None = None
    target: Target | None = None


def measure(settings: Settings | None = None) -> Report:
    """Fit every size on both sides, in turns."""
    chosen = settings or Settings()
    rows = tuple(_row(size, chosen) for size in chosen.rows)
    notes = (
        "10 covariates, 3 sites, secure sum, open profile. Registration reads and "
        "writes CSV; it is part of a dataset's life, not of a fit, and shown apart.",
        "Empty: lifelines was not run at that size; `--full` runs it.",
    )
    return Report("cox", rows, notes)


def simulate(rows: int, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return a table a site: exponential times, about a third censored, few ties."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(COVARIATES))).round(4)
    beta = np.linspace(-0.5, 0.5, len(COVARIATES))
    times = rng.exponential(np.exp(-x @ beta))
    censored = rng.exponential(2.0, rows)
    table = pd.DataFrame(x, columns=list(COVARIATES))
    table["time"] = np.minimum(times, censored).round(5) + 1e-5
    table["event"] = (times <= censored).astype(int)
    parts = np.array_split(np.arange(rows), len(SITES))
    return {
        site: table.iloc[part].reset_index(drop=True)
        for site, part in zip(SITES, parts, strict=True)
    }


def _row(size: int, chosen: Settings) -> CoxRow:
    frames = simulate(size)
    repeats = 1 if size >= chosen.lone_from else chosen.repeats
    pooled = pd.concat([f.assign(site=s) for s, f in frames.items()], ignore_index=True)
    began = time.perf_counter()
    federation = Federation.from_frames(
        frames, dataset="cox", approve="auto", profile="open"
    )
    register = time.perf_counter() - began
    mine: list[float] = []
    theirs: list[float] = []
    with federation:
        first, result = _fit(federation)
        for _ in range(repeats):
            mine.append(_fit(federation)[0])
            if size <= chosen.lifelines_up_to:
                theirs.append(_lifelines(pooled)[0])
    fit = median(mine)
    if not theirs:
        return CoxRow(size, repeats, register, first, fit)
    ratio = fit / median(theirs)
    _, other = _lifelines(pooled, precision=EXACT)
    target = None
    if size == COMPARED_ROWS:
        target = Target(f"Cox, {size:,} rows", ratio, 1.0, "x lifelines")
    return CoxRow(
        size,
        repeats,
        register,
        first,
        fit,
        median(theirs),
        ratio,
        _difference(result["coef"], other["coef"]),
        _difference(result["se(coef)"], other["se(coef)"]),
        target,
    )


def _fit(federation: Federation) -> tuple[float, Mapping[str, pd.Series]]:
    plan = CoxPlan(
        duration="time",
        event="event",
        covariates=COVARIATES,
        split=SplitSpec(1, 0, 0),
        fit_on="train",
        evaluate_on="none",
    )
    began = time.perf_counter()
    request = federation.request(plan, purpose="bench: Cox")
    summary = request.start().result().summary
    return time.perf_counter() - began, summary


def _lifelines(
    pooled: pd.DataFrame, **options: float
) -> tuple[float, Mapping[str, pd.Series]]:
    began = time.perf_counter()
    fitter = CoxPHFitter().fit(
        pooled, "time", "event", strata="site", fit_options=options
    )
    return time.perf_counter() - began, fitter.summary


def _difference(ours: pd.Series, theirs: pd.Series) -> float:
    names = list(COVARIATES)
    return float(np.abs(ours[names].to_numpy() - theirs[names].to_numpy()).max())

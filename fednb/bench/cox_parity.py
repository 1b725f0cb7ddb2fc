"""Federated Cox fits against lifelines on pooled rows: the table of differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.datasets import (
    load_larynx,
    load_lung,
    load_rossi,
    load_stanford_heart_transplants,
)

from fednb.bench.report import Target
from fednb.embedded.federation import Federation
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fednb.results.survival import CoxResult

SITES = ("a", "b", "c")
LIMIT = 1e-6
SMOOTH_LIMIT = 2e-3
"""lifelines puts a smooth function in the place of |b|, ours is exact."""

EXACT = {"precision": 1e-13}
MONTHS = tuple(float(week) for week in range(4, 53, 4))


@dataclass(frozen=True)
class CoxRow:
    """One fit, by fednb and by lifelines; what was not measured is empty.

    Attributes
    ----------
    case
        Data set and options, or ``"speed"``.
    rows, sites, columns, repeats
        Of the fit; fits a side.
    register_s
        Set-up, once a dataset: tables to CSV, checked, hashed, published at the sites.
    first_fit_s
        The first run, in which the sites hash and read their CSV.
    fit_s
        Median of runs, from the signed request to the result, ledger included.
    lifelines_s
        Median of ``CoxPHFitter().fit`` on `lifelines_rows` pooled rows.
    ratio
        ``fit_s / lifelines_s``.
    memory_gb
        The most that a process which opens the registered sites and fits twice held at
        once, beyond its imported modules; the tables are in it.
    coef_difference, se_difference, log_likelihood_difference, baseline_difference
        Largest absolute differences from a lifelines fit that goes on to 1e-12 and
        beyond; by default it stops at 1e-7, which leaves it some 1e-6 off.
    """

    case: str
    rows: int
    sites: int
    columns: int
    repeats: int = 1
    register_s: float | None = None
    first_fit_s: float | None = None
    fit_s: float | None = None
    lifelines_rows: int | None = None
    lifelines_s: float | None = None
    ratio: float | None = None
    memory_gb: float | None = None
    coef_difference: float | None = None
    se_difference: float | None = None
    log_likelihood_difference: float | None = None
    baseline_difference: float | None = None
    target: Target | None = None


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes
    ----------
    name
        What differs from a plain fit.
    plan
        Fields of the `CoxPlan`.
    fitter, fit
        Arguments of ``CoxPHFitter`` and of its ``fit``.
    limit
        Of the differences.
    """

    name: str
    plan: Mapping[str, Any] = field(default_factory=dict)
    fitter: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    limit: float = LIMIT


@dataclass(frozen=True)
class Study:
    """A data set of lifelines' and what is compared on it."""

    name: str
    load: Callable[[], pd.DataFrame]
    duration: str
    event: str
    covariates: tuple[str, ...]
    cases: tuple[Case, ...]


def parity_rows(*, quick: bool = False) -> Iterator[CoxRow]:
    """Compare every case; the first study alone where it has to be quick."""
    for study in _STUDIES[:1] if quick else _STUDIES:
        table = study.load().reset_index(drop=True)
        at = np.arange(len(table)) % len(SITES)
        frames = {
            site: table[at == k].reset_index(drop=True) for k, site in enumerate(SITES)
        }
        with Federation.from_frames(frames, approve="auto", profile="open") as fed:
            parts = [f.assign(site=s) for s, f in frames.items()]
            pooled = pd.concat(parts, ignore_index=True)
            for case in study.cases[:2] if quick else study.cases:
                yield _compared(fed, pooled, study, case)


def gridded(table: pd.DataFrame, duration: str, event: str) -> pd.DataFrame:
    """Return rows as a monthly grid has them: at its ends, censored beyond the last."""
    ends = np.asarray(MONTHS)
    cell = np.searchsorted(ends, table[duration], side="left")
    inside = cell < ends.size
    times = ends[np.minimum(cell, ends.size - 1)]
    return table.assign(**{duration: times, event: np.where(inside, table[event], 0)})


def _compared(
    fed: Federation, pooled: pd.DataFrame, study: Study, case: Case
) -> CoxRow:
    fields = {
        "duration": study.duration,
        "event": study.event,
        "covariates": study.covariates,
        "split": SplitSpec(1, 0, 0),
        "fit_on": "train",
        "evaluate_on": "none",
        **case.plan,
    }
    plan = CoxPlan(**fields)
    ours: CoxResult = fed.request(plan, purpose="bench: parity").start().result()
    rows = pooled
    if not plan.by_site:
        rows = gridded(pooled, plan.duration, plan.event)
    used = [*study.covariates, plan.duration, plan.event, *plan.strata]
    used += [name for name in (plan.weights, plan.entry) if name]
    theirs = CoxPHFitter(strata=list(plan.strata) or None, **case.fitter).fit(
        rows[used], plan.duration, plan.event, fit_options=EXACT, **case.fit
    )
    names = list(theirs.params_.index)
    coef = np.abs(ours.params_[names] - theirs.params_).max()
    errors = np.abs(ours.standard_errors_[names] - theirs.standard_errors_).max()
    likelihood = abs(ours.log_likelihood_ - theirs.log_likelihood_)
    found = {"coef": float(coef)}
    if case.limit == LIMIT:
        # of a smoothed penalty neither is that of the exact one
        found |= {"se": float(errors), "log_likelihood": float(likelihood)}
    if not plan.by_site:
        hazard = ours.baseline_cumulative_hazard_.to_numpy()
        known = theirs.baseline_cumulative_hazard_.loc[list(MONTHS)].to_numpy()
        found["baseline"] = float(np.abs(hazard - known).max())
    name = f"{study.name}, {case.name}"
    return CoxRow(
        case=name,
        rows=len(pooled),
        sites=len(SITES),
        columns=len(names),
        target=Target(f"parity, {name}", max(found.values()), case.limit, ""),
        coef_difference=found["coef"],
        se_difference=found.get("se"),
        log_likelihood_difference=found.get("log_likelihood"),
        baseline_difference=found.get("baseline"),
    )


def _rossi() -> pd.DataFrame:
    """Rossi's prisoners, with weights and with weeks that are not tied."""
    table: pd.DataFrame = load_rossi()
    shuffled = np.random.default_rng(0).permutation(len(table))
    untied = table["week"] + shuffled * 1e-4
    return table.assign(untied=untied, weight=1 + np.arange(len(table)) % 3)


def _lung() -> pd.DataFrame:
    table: pd.DataFrame = load_lung().drop(columns=["inst", "meal.cal"]).dropna()
    table.columns = [name.replace(".", "_") for name in table.columns]
    return table.assign(status=table["status"].astype(int))


def _heart() -> pd.DataFrame:
    table: pd.DataFrame = load_stanford_heart_transplants().drop(columns="id")
    return table.loc[table["start"] < table["stop"]]


_ROSSI = ("fin", "age", "race", "wexp", "mar", "paro", "prio")
_WEIGHTED = Case("weights", {"weights": "weight"}, {}, {"weights_col": "weight"})
_ROBUST = Case(
    "robust, no ties",
    {"duration": "untied", "robust": True},
    {},
    {"robust": True},
)
_STUDIES: tuple[Study, ...] = (
    Study(
        "rossi",
        _rossi,
        "week",
        "arrest",
        _ROSSI,
        (
            Case("ties"),
            Case("ridge .1", {"penalizer": 0.1}, {"penalizer": 0.1}),
            _WEIGHTED,
            _ROBUST,
            Case(
                "elastic net .02, l1 .5",
                {"penalizer": 0.02, "l1_ratio": 0.5},
                {"penalizer": 0.02, "l1_ratio": 0.5},
                limit=SMOOTH_LIMIT,
            ),
            Case("pooled by month", {"strata": "none", "grid": MONTHS}),
            Case(
                "pooled by month, ridge .1",
                {"strata": "none", "grid": MONTHS, "penalizer": 0.1},
                {"penalizer": 0.1},
            ),
        ),
    ),
    Study(
        "rossi by race",
        _rossi,
        "week",
        "arrest",
        tuple(name for name in _ROSSI if name != "race"),
        (Case("strata", {"strata": ("site", "race")}),),
    ),
    Study(
        "lung",
        _lung,
        "time",
        "status",
        ("age", "sex", "ph_ecog", "ph_karno", "pat_karno", "wt_loss"),
        (Case("ties"),),
    ),
    Study(
        "larynx",
        load_larynx,
        "time",
        "death",
        ("age", "Stage_II", "Stage_III", "Stage_IV"),
        (Case("ties"),),
    ),
    Study(
        "heart transplants",
        _heart,
        "stop",
        "event",
        ("age", "year", "surgery", "transplant"),
        (Case("left truncation", {"entry": "start"}, {}, {"entry_col": "start"}),),
    ),
)

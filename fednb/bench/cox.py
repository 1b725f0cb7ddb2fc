"""The federated Cox fit against lifelines on the pooled rows."""

from __future__ import annotations

import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter

from fednb.bench.cox_parity import SITES, SMOOTH_LIMIT, CoxRow, parity_rows
from fednb.bench.report import Report, Target, median
from fednb.embedded.federation import Federation
from fednb.records.heads import CoxPlan
from fednb.records.specs import SplitSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")

COVARIATES = tuple(f"x{number}" for number in range(10))
WIDE = tuple(f"x{number}" for number in range(20))
TEN = tuple(f"site{number}" for number in range(10))
EXACT = 1e-12
"""Precision of the lifelines fit that coefficients are held against; by default it
stops at 1e-7, which leaves them some 1e-6 off."""

COMPARED_ROWS = 100_000
"""At this size the federated fit must be the faster one."""

LARGE_ROWS = 1_000_000
"""Over ten sites: to be faster than lifelines at `COMPARED_ROWS`, in `LARGE_GB`."""

LARGE_GB = 1.0
"""Memory beyond the data; what is measured, see `_fit_large`, is with the data."""


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
    parity, quick
        Whether to compare with lifelines on its data sets, and only a few of these.
    large
        Rows of the fit of 20 columns over 10 sites; 0: none.
    """

    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    lifelines_up_to: int = 100_000
    repeats: int = 3
    lone_from: int = 1_000_000
    parity: bool = True
    quick: bool = False
    large: int = 0


FULL = Settings(lifelines_up_to=1_000_000, large=LARGE_ROWS)
QUICK = Settings(rows=(300,), repeats=1, quick=True)


def measure(settings: Settings | None = None) -> Report:
    """Fit every size on both sides, in turns."""
    chosen = settings or Settings()
    rows = [_row(size, chosen) for size in chosen.rows]
    if chosen.large:
        rows += _large(chosen.large)
    if chosen.parity:
        rows += parity_rows(quick=chosen.quick)
    notes = (
        "Secure sum, open profile. Registration reads and writes CSV; it is part of a "
        "dataset's life, not of a fit, and shown apart.",
        "Empty: not measured; `--full` runs lifelines on a million rows, and 20 "
        "columns over 10 sites.",
        "lifelines has Efron's ties only. Its robust errors depend on the order of "
        "tied rows, so they are compared without ties; its absolute value is smooth, "
        f"so elastic nets are held to {SMOOTH_LIMIT:g} on coefficients.",
    )
    return Report("cox", tuple(rows), notes)


def simulate(
    rows: int,
    seed: int = 0,
    covariates: tuple[str, ...] = COVARIATES,
    sites: tuple[str, ...] = SITES,
) -> dict[str, pd.DataFrame]:
    """Return a table a site: exponential times, about a third censored, few ties."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(covariates))).round(4)
    beta = np.linspace(-0.5, 0.5, len(covariates))
    times = rng.exponential(np.exp(-x @ beta))
    censored = rng.exponential(2.0, rows)
    table = pd.DataFrame(x, columns=list(covariates))
    table["time"] = np.minimum(times, censored).round(5) + 1e-5
    table["event"] = (times <= censored).astype(int)
    parts = np.array_split(np.arange(rows), len(sites))
    return {
        site: table.iloc[part].reset_index(drop=True)
        for site, part in zip(sites, parts, strict=True)
    }


def _row(size: int, chosen: Settings) -> CoxRow:
    frames = simulate(size)
    repeats = 1 if size >= chosen.lone_from else chosen.repeats
    pooled = _pooled(frames)
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
    row = CoxRow(
        case="speed",
        rows=size,
        sites=len(SITES),
        columns=len(COVARIATES),
        repeats=repeats,
        register_s=register,
        first_fit_s=first,
        fit_s=median(mine),
    )
    return _against(row, result, pooled, theirs) if theirs else row


def _against(
    row: CoxRow,
    result: Mapping[str, pd.Series],
    pooled: pd.DataFrame,
    seconds: list[float],
) -> CoxRow:
    """Put lifelines beside a row: its time, and its estimate taken further."""
    _, other = _lifelines(pooled, precision=EXACT)
    ratio = (row.fit_s or 0.0) / median(seconds)
    target = None
    if row.rows == COMPARED_ROWS:
        target = Target(f"Cox, {row.rows:,} rows", ratio, 1.0, "x lifelines")
    return replace(
        row,
        lifelines_rows=row.rows,
        lifelines_s=median(seconds),
        ratio=ratio,
        coef_difference=_difference(result["coef"], other["coef"]),
        se_difference=_difference(result["se(coef)"], other["se(coef)"]),
        target=target,
    )


def _large(size: int) -> tuple[CoxRow, CoxRow]:
    """Fit 20 columns over 10 sites; lifelines has a tenth of the rows.

    Registration and fits each have a process of their own, so that nothing done before
    lends memory to the fits.
    """
    lifelines_rows = size * COMPARED_ROWS // LARGE_ROWS
    with TemporaryDirectory(prefix="fednb-") as folder:
        register = _alone(_register_large, size, Path(folder))
        first, fit, grown = _alone(_fit_large, Path(folder))
    seconds, _ = _lifelines(_pooled(simulate(lifelines_rows, 0, WIDE, TEN)))
    ratio = fit / seconds
    name = f"Cox, {size:,} rows and 10 sites"
    row = CoxRow(case="speed", rows=size, sites=len(TEN), columns=len(WIDE))
    speed = replace(
        row,
        register_s=register,
        first_fit_s=first,
        fit_s=fit,
        lifelines_rows=lifelines_rows,
        lifelines_s=seconds,
        ratio=ratio,
        target=Target(name, ratio, 1.0, f"x lifelines at {lifelines_rows:,}"),
    )
    memory = replace(row, case="memory", memory_gb=grown)
    if grown is not None:
        target = Target(f"{name}: memory", grown, LARGE_GB, "GB")
        memory = replace(memory, target=target)
    return speed, memory


def _alone(work: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """Return what `work` returns in a process that did nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **named).result()


def _register_large(size: int, folder: Path) -> float:
    """Register the tables at ten sites in `folder`; return the seconds."""
    frames = simulate(size, 0, WIDE, TEN)
    began = time.perf_counter()
    Federation.from_frames(
        frames, dataset="cox", approve="auto", profile="open", folder=folder
    ).close()
    return time.perf_counter() - began


def _fit_large(folder: Path) -> tuple[float, float, float | None]:
    """Open registered sites and fit twice; return seconds of both, and memory in GB.

    Memory is the most that the process held at once from the moment that it opened
    coordinator and sites until the second fit had ended, less what it held when all
    modules of the bench were imported. Nothing else is taken off: the tables that the
    sites read and keep, once all the data, are in it, so beyond the data it is less.
    None where the kernel does not tell.
    """
    before, told = _held("VmRSS"), _forget_peak()
    homes = {site: folder / site for site in TEN}
    with Federation(homes, folder / "coordinator") as federation:
        first, _ = _fit(federation, WIDE)
        fit, _ = _fit(federation, WIDE)
        grown = _held("VmHWM") - before
    return first, fit, grown if told else None


def _forget_peak() -> bool:
    """Let the kernel count this process's peak anew; whether it can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _held(what: str) -> float:
    """Return what this process holds (VmRSS) or held at most (VmHWM), in GB."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    found = [line.split()[1] for line in lines if line.startswith(what)]
    return int(found[0]) * 1024 / 1e9 if found else math.nan


def _pooled(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [frame.assign(site=site) for site, frame in frames.items()]
    return pd.concat(parts, ignore_index=True)


def _fit(
    federation: Federation, covariates: tuple[str, ...] = COVARIATES
) -> tuple[float, Mapping[str, pd.Series]]:
    plan = CoxPlan(
        duration="time",
        event="event",
        covariates=covariates,
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

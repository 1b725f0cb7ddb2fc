"""C over all pairs, from merged cells, against C of the pooled rows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from fednb.bench.report import Report, Target
from fednb.privacy.profiles import PROFILES
from fednb.records.assessment import INTERVALS, AssessmentPlan, FixedModel
from fednb.records.datasets import Column, Manifest
from fednb.results.performance import performance_of
from fednb.site.tasks.assess import Assess
from fednb.site.tasks.job import Job
from fednb.survival.assessment import AssessmentDesign
from fednb.survival.concordance import concordance_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.survival.sums import Floats

LIMIT: Final = 0.01
LONGEST: Final = 120.0
BETA: Final = (0.8, 0.4)
FOLLOW_UP: Final = ((12, 90), (6, 48), (20, 72), (24, 110))
"""When patients of a site are censored: evenly between these months."""

COLUMNS: Final = (
    Column("x", "number", lower=-6.0, upper=6.0),
    Column("z", "binary"),
    Column("time", "number", lower=0.0, upper=LONGEST),
    Column("event", "binary"),
)
PLAN: Final = AssessmentPlan(
    FixedModel("cox", BETA, ("x", "z")), duration="time", event="event"
)


@dataclass(frozen=True)
class Settings:
    """What is simulated.

    Attributes
    ----------
    federations
        Sites and patients a site.
    shifts
        How much risk differs between sites, in standard deviations.
    seeds
        Of each federation and shift.
    profile
        Of the sites.
    """

    federations: tuple[tuple[int, int], ...] = ((3, 100), (6, 60), (3, 200))
    shifts: tuple[float, ...] = (0.3, 0.8)
    seeds: int = 40
    profile: str = "standard"


FULL = Settings(seeds=200)
QUICK = Settings(federations=((3, 40),), shifts=(0.3,), seeds=1)


@dataclass(frozen=True)
class ConcordanceRow:
    """Error of C over all pairs, over the seeds."""

    sites: int
    patients: int
    shift: float
    seeds: int
    bias: float
    mean_error: float
    max_error: float
    target: Target | None = None


def measure(settings: Settings | None = None) -> Report:
    """Assess the true model at simulated sites, and on their pooled rows."""
    chosen = settings or Settings()
    rows = [
        _row(chosen, sites, patients, shift)
        for sites, patients in chosen.federations
        for shift in chosen.shifts
    ]
    notes = (
        f"{chosen.profile} profile; Weibull times, censored differently at each site; "
        f"{PLAN.bins} bins of risk, {INTERVALS} intervals. Errors are absolute.",
    )
    return Report("concordance", tuple(rows), notes)


def _row(chosen: Settings, sites: int, patients: int, shift: float) -> ConcordanceRow:
    errors = np.array(
        [
            _error(simulate(seed, (patients,) * sites, shift), chosen.profile)
            for seed in range(chosen.seeds)
        ]
    )
    worst = float(np.abs(errors).max())
    name = f"C over all pairs, {sites} sites of {patients}, shift {shift:g}"
    return ConcordanceRow(
        sites,
        patients,
        shift,
        chosen.seeds,
        float(errors.mean()),
        float(np.abs(errors).mean()),
        worst,
        Target(name, worst, LIMIT, ""),
    )


def simulate(seed: int, sizes: Sequence[int], shift: float) -> list[pd.DataFrame]:
    """Return one table a site; risk and follow-up differ between sites."""
    rng = np.random.default_rng(seed)
    found = []
    for site, n in enumerate(sizes):
        x = np.clip(rng.normal(shift * rng.normal(), 1, n), -6, 6)
        z = rng.integers(0, 2, n)
        hazard = np.exp(BETA[0] * x + BETA[1] * z)
        death = 60 * (-np.log(rng.uniform(size=n)) / hazard) ** (1 / 1.2)
        censored = rng.uniform(*FOLLOW_UP[site % len(FOLLOW_UP)], size=n)
        time, died = np.minimum(death, censored), death <= censored
        columns = {"x": x, "z": z, "time": time, "event": died.astype(int)}
        names = [f"{site}-{i}" for i in range(n)]
        found.append(pd.DataFrame({"patient_id": names, **columns}))
    return found


def _error(tables: list[pd.DataFrame], profile: str) -> float:
    whole = pd.concat(tables)
    risk = BETA[0] * whole.x + BETA[1] * whole.z
    truth = concordance_counts(whole.time, whole.event, risk).index
    return _index(tables, profile) - truth


def _index(tables: list[pd.DataFrame], profile: str) -> float:
    """Return C over all pairs after all rounds of an assessment."""
    rules = PROFILES[profile]
    design = AssessmentDesign(
        plan=PLAN,
        grid=tuple(LONGEST * k / INTERVALS for k in range(1, INTERVALS + 1)),
        levels=(),
        columns=tuple(PLAN.needs()),
        precision=0.0 if rules.exact else 0.1,
        parts=len(tables),
        exact=rules.exact,
    )
    with tempfile.TemporaryDirectory() as folder:
        halves = [
            Assess(_job(table, Path(folder) / f"{site}.csv"), design, COLUMNS)
            for site, table in enumerate(tables)
        ]
    totals: list[Floats] = []
    state = design.replay(totals)
    while state.phase != "done":
        parts = [half.vector(state, rules)[0] for half in halves]
        totals.append(reduce(add, parts))
        state = design.replay(totals)
    measures = performance_of(design, state).measures
    return next(m.value for m in measures if m.name == "C, all pairs")


def _job(table: pd.DataFrame, path: Path) -> Job:
    table.to_csv(path, index=False)
    ids = tuple(table["patient_id"])
    everybody = tuple(range(len(table)))
    return Job(
        id="bench",
        site=path.stem,
        plan=PLAN,
        round=0,
        rounds=1,
        manifest=Manifest("bench", COLUMNS, (), ids, ""),
        table=str(path),
        images="",
        work=str(path.parent),
        split={"train": (), "validation": (), "test": everybody},
    )

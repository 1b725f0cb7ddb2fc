"""C over all pairs, from merged cells, against C of the pooled rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from fednb.bench.report import Report, Target
from fednb.embedded.federation import Federation
from fednb.records.assessment import FixedModel
from fednb.records.datasets import Column
from fednb.survival.concordance import concordance_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.coordinator.contracting import ProfileName

LIMIT: Final = 0.01
LONGEST: Final = 120.0
BETA: Final = (0.8, 0.4)
FOLLOW_UP: Final = ((12, 90), (6, 48), (20, 72), (24, 110))
"""When patients of a site are censored: evenly between these months."""

MODEL: Final = FixedModel("cox", BETA, ("x", "z"))
COLUMNS: Final = (
    Column("x", "number", lower=-6.0, upper=6.0),
    Column("z", "binary"),
    Column("time", "number", lower=0.0, upper=LONGEST),
    Column("event", "binary"),
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
    seeds: int = 10
    profile: ProfileName = "standard"


FULL = Settings(seeds=40)
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
        "times on the default grid. Errors are absolute, the bias is not.",
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


def _error(tables: list[pd.DataFrame], profile: ProfileName) -> float:
    whole = pd.concat(tables)
    risk = BETA[0] * whole.x + BETA[1] * whole.z
    truth = concordance_counts(whole.time, whole.event, risk).index
    frames = {f"site{number}": table for number, table in enumerate(tables)}
    with Federation.from_frames(
        frames, dataset="trial", approve="auto", profile=profile, columns=COLUMNS
    ) as federation:
        report = federation.evaluate(MODEL, duration="time", event="event", on="all")
    measures = report.performance.measures
    return next(m.value for m in measures if m.name == "C, all pairs") - truth

"""An assessment over tables in memory, round by round, without a federation."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from fednb.privacy.profiles import PROFILES
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.datasets import Column, Manifest
from fednb.site.tasks.assess import Assess
from fednb.site.tasks.job import Job
from fednb.survival.assessing import model_terms
from fednb.survival.assessment import AssessmentDesign, AssessmentState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = (
    Column("x", "number", lower=-6.0, upper=6.0),
    Column("z", "binary"),
    Column("time", "number", lower=0.0, upper=120.0),
    Column("event", "binary"),
    Column("y", "binary"),
    Column("sex", "category", levels=("F", "M")),
)
MODEL = FixedModel("cox", (0.8, 0.4), ("x", "z"))


class Assessed(NamedTuple):
    """What an assessment brought."""

    design: AssessmentDesign
    state: AssessmentState
    totals: list[np.ndarray]
    parts: list[list[np.ndarray]]


def patients(seed: int, sizes: Sequence[int], shift: float = 0.3) -> list[pd.DataFrame]:
    """Return one table a site; risk and follow-up differ between sites."""
    rng = np.random.default_rng(seed)
    limits = [(12, 90), (6, 48), (20, 72), (24, 110)]
    found = []
    for site, n in enumerate(sizes):
        x = np.clip(rng.normal(shift * rng.normal(), 1, n), -6, 6)
        z = rng.integers(0, 2, n)
        hazard = np.exp(0.8 * x + 0.4 * z)
        death = 60 * (-np.log(rng.uniform(size=n)) / hazard) ** (1 / 1.2)
        censored = rng.uniform(*limits[site % 4], size=n)
        chance = 1 / (1 + np.exp(-0.8 * x - 0.4 * z))
        found.append(
            pd.DataFrame(
                {
                    "patient_id": [f"{site}-{i}" for i in range(n)],
                    "x": x,
                    "z": z,
                    "time": np.minimum(death, censored),
                    "event": (death <= censored).astype(int),
                    "y": (rng.uniform(size=n) < chance).astype(int),
                    "sex": rng.choice(["F", "M"], n),
                }
            )
        )
    return found


def assess(
    plan: AssessmentPlan,
    tables: Sequence[pd.DataFrame],
    folder: Path,
    profile: str = "open",
    columns: Sequence[Column] = COLUMNS,
) -> Assessed:
    """Run all rounds of an assessment; totals are plain sums."""
    rules = PROFILES[profile]
    declared = {column.name: column for column in columns}
    levels = [(n, v) for n in plan.subgroups for v in declared[n].levels]
    grid = plan.times or tuple(120.0 * k / 60 for k in range(1, 61))
    design = AssessmentDesign(
        plan=plan,
        grid=grid if plan.model.family == "cox" else (),
        levels=tuple(levels),
        columns=tuple(plan.needs()),
        precision=0.0 if rules.exact else 0.1,
        parts=len(tables),
        exact=rules.exact,
        terms=model_terms(plan.model, columns),
    )
    halves = [
        Assess(_job(plan, table, folder / f"{i}.csv", columns), design, columns)
        for i, table in enumerate(tables)
    ]
    totals: list[np.ndarray] = []
    every: list[list[np.ndarray]] = []
    state = design.replay(totals)
    while state.phase != "done":
        made = [half.vector(state, rules) for half in halves]
        for _, decisions in made:
            assert all(d.allow for d in decisions), decisions
        every.append([vector for vector, _ in made])
        totals.append(reduce(add, every[-1]))
        state = design.replay(totals)
    return Assessed(design, state, totals, every)


def _job(
    plan: AssessmentPlan, table: pd.DataFrame, path: Path, columns: Sequence[Column]
) -> Job:
    table.to_csv(path, index=False)
    ids = tuple(table["patient_id"])
    manifest = Manifest("trial", tuple(columns), (), ids, "")
    split = {"train": (), "validation": (), "test": tuple(range(len(table)))}
    return Job(
        id="call",
        site=path.stem,
        plan=plan,
        round=0,
        rounds=1,
        manifest=manifest,
        table=str(path),
        images="",
        work=str(path.parent),
        split=split,
    )

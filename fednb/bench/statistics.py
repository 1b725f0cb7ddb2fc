"""A statistics call: the first one, which asks for approval, and those after it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fednb.bench.report import Report, Target, median, upper
from fednb.embedded.federation import Federation

SITES = ("a", "b", "c")
LIMIT_MS = 20.0


@dataclass(frozen=True)
class Settings:
    """What to ask.

    Attributes
    ----------
    rows
        Sizes, all sites together.
    repeats
        Calls after the first.
    limit_at
        The size that has a target.
    """

    rows: tuple[int, ...] = (10_000, 30_000)
    repeats: int = 60
    limit_at: int = 10_000


QUICK = Settings((300,), repeats=3, limit_at=300)


@dataclass(frozen=True)
class StatisticsRow:
    """One size and one question.

    Attributes
    ----------
    rows
        All sites together.
    query
        Columns, and the group.
    repeats
        Calls after the first.
    first_ms
        The first call of all: the standing contract is drawn up, signed, proposed and
        approved, and the sites read their tables.
    median_ms, p90_ms
        Of the calls after it, from call to result; each is signed, decided on,
        summed by the secure sum and entered in three ledgers.
    """

    rows: int
    query: str
    repeats: int
    first_ms: float | None
    median_ms: float
    p90_ms: float
    target: Target | None = None


def measure(settings: Settings | None = None) -> Report:
    """Measure each size, with and without groups."""
    chosen = settings or Settings()
    rows: list[StatisticsRow] = []
    for size in chosen.rows:
        rows += _size(size, chosen)
    notes = ("Three sites, secure sum, standard profile; sizes are of all together.",)
    return Report("statistics", tuple(rows), notes)


def simulate(rows: int) -> dict[str, pd.DataFrame]:
    """Return a clinical table a site: two numbers and two binaries."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.normal(55, 14, rows).clip(18, 90).round(),
            "months": rng.exponential(20, rows).clip(0.1, 120).round(1),
            "idh": rng.integers(0, 2, rows),
            "sex": rng.choice(["female", "male"], rows),
        }
    )
    parts = np.array_split(np.arange(rows), len(SITES))
    return {
        site: table.iloc[part].reset_index(drop=True)
        for site, part in zip(SITES, parts, strict=True)
    }


def _size(size: int, chosen: Settings) -> list[StatisticsRow]:
    columns = ["age", "months", "idh"]
    rows = []
    with Federation.from_frames(
        simulate(size), dataset="table", approve="auto"
    ) as federation:
        began = time.perf_counter()
        federation.statistics("table", columns)
        first: float | None = (time.perf_counter() - began) * 1e3
        for by in ("", "sex"):
            times = []
            for _ in range(chosen.repeats):
                began = time.perf_counter()
                federation.statistics("table", columns, by=by)
                times.append((time.perf_counter() - began) * 1e3)
            query = f"{', '.join(columns)}{f' by {by}' if by else ''}"
            middle = median(times)
            target = None
            if size == chosen.limit_at and not by:
                target = Target(f"statistics, {size:,} rows", middle, LIMIT_MS, "ms")
            rows.append(
                StatisticsRow(
                    size, query, chosen.repeats, first, middle, upper(times), target
                )
            )
            first = None
    return rows

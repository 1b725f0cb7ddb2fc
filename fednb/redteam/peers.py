"""The peers' disclosure rules, implemented again as small pure functions.

Each follows the defaults that the systems' sources and manuals state (DataSHIELD dsBase
6.3.3, vantage6, NVIDIA FLARE, WebDISCO: Lu et al., JAMIA 22 (2015), 1212-1219). None of
their code is in here: what is compared are rules, not products, whose owners may have
set them otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DSBASE: Final = "dsBase"
VANTAGE6: Final = "vantage6"
NVFLARE: Final = "NVFlare"
WEBDISCO: Final = "WebDISCO-style sums"
FEDAVG: Final = "plain FedAvg"
UNVERIFIED: Final = "secure sum, unverified"
PLAIN: Final = "plain evaluation"
"""Exact figures of ten rows or more: what a threshold alone lets pass."""

FREE_EDGES: Final = "threshold, free edges"
"""Exact counts of ten or more a cell, between any edges: what NVFlare's bins are."""

LEAST: Final = {DSBASE: 3, VANTAGE6: 5, NVFLARE: 10, PLAIN: 10, FREE_EDGES: 10}
"""Smallest number behind an answer."""

LEVELS_MOST, LEVELS_SHARE = 40, 0.33
KM_SEED, KM_RATIO = 0, 10.0
NOISE: Final = (0.1, 0.3)


def mean(values: Floats, system: str) -> float | None:
    """Return an exact mean of the rows that there are, or nothing where they are few.

    Rows are counted, missing values among them.
    """
    if values.size < LEAST[system]:
        return None
    return float(np.nanmean(values))


def noisy_maximum(values: Floats, rng: np.random.Generator) -> float:
    """Return NVFlare's maximum: 10 to 30 % beyond, drawn afresh at each query."""
    return float(values.max() * (1 + rng.uniform(*NOISE)))


def km_times(
    times: Floats, events: Floats, seed: int = KM_SEED
) -> tuple[Floats, float] | None:
    """Return vantage6's Kaplan-Meier table with Gaussian noise under a fixed seed.

    Returns
    -------
    table
        ``(time, event)`` in order of the noisy times, shape (n, 2).
    spread
        Of the noise: the algorithm logs it.
    """
    if times.size < LEAST[NVFLARE]:
        return None
    spread = np.sqrt(times.var() / KM_RATIO)
    noise = np.random.default_rng(seed).normal(0, 1, times.size)
    shown = np.maximum(times + np.round(spread * noise), 0)
    order = np.argsort(shown, kind="stable")
    return np.column_stack([shown, events])[order], float(spread)


def count(patients: int, system: str) -> int:
    """Return an exact count, 0 where it is small."""
    return patients if patients >= LEAST[system] else 0


def count_below(values: Floats, cut: float, system: str) -> int | None:
    """Return how many lie below a cut that the requester chose, both sides not few."""
    below = int((values < cut).sum())
    few = min(below, values.size - below) < LEAST[system]
    return None if few else below


def histogram(values: Floats, edges: Sequence[float]) -> NDArray[np.int64] | None:
    """Return NVFlare's histogram: enough patients in all, few bins, any edges."""
    if values.size < LEAST[NVFLARE] or len(edges) - 1 > 0.1 * values.size:
        return None
    counts, _ = np.histogram(values, bins=np.asarray(edges))
    return counts.astype(np.int64)


def cells_between(values: Floats, edges: Sequence[float]) -> NDArray[np.int64] | None:
    """Return counts between any edges and beyond, or nothing where one is small."""
    cell = np.searchsorted(np.asarray(edges), values, side="left")
    counts = np.bincount(cell, minlength=len(edges) + 1)
    few = int(counts.min()) < LEAST[FREE_EDGES]
    return None if few else counts.astype(np.int64)


def levels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return dsBase's levels of a factor: every label that occurs, if not too many."""
    found = tuple(sorted(set(labels)))
    many = len(found) > min(LEVELS_MOST, LEVELS_SHARE * len(labels))
    return () if many else found


def answers(rows: NDArray[np.bool_], system: str) -> bool:
    """Whether a filtered subset is answered: a refusal tells that it is small."""
    return int(rows.sum()) >= LEAST[system]


def webdisco(x: Floats, time: Floats, event: Floats, b: Floats) -> list[Any]:
    """Return per event time: the time, S0 and S1 over those at risk at ``b``."""
    weight = np.exp(x @ b)
    found = []
    for t in np.unique(time[event == 1]):
        at_risk = time >= t
        s1 = (weight[at_risk, None] * x[at_risk]).sum(axis=0)
        found.append((float(t), float(weight[at_risk].sum()), s1))
    return found


def score(x: Floats, y: Floats, b: Floats) -> Floats:
    """Return the logistic score at coefficients that the requester chose."""
    with np.errstate(over="ignore"):
        chance = 1 / (1 + np.exp(-(x @ b)))
    return np.asarray(x.T @ (y - chance), dtype=np.float64)


def losses(score: Floats, outcome: Floats) -> Floats | None:
    """Return exact sums of log-losses and of squared errors, or nothing for few rows.

    Parameters
    ----------
    score, outcome
        Log odds, and 0 or 1; shape (n,).
    """
    if score.size < LEAST[PLAIN]:
        return None
    chance = 1 / (1 + np.exp(-score))
    logs = np.logaddexp(0.0, -(2 * outcome - 1) * score).sum()
    return np.array([logs, ((chance - outcome) ** 2).sum()])


def decision_cells(
    score: Floats, outcome: Floats, thresholds: Sequence[float]
) -> Floats | None:
    """Return exact counts by class between any thresholds, or nothing for few rows."""
    if score.size < LEAST[PLAIN]:
        return None
    cell = np.searchsorted(thresholds, 1 / (1 + np.exp(-score)), side="right")
    found = np.zeros((2, len(thresholds) + 1))
    np.add.at(found, (outcome.astype(np.intp), cell), 1.0)
    return found


def subgroup(rows: NDArray[np.bool_], outcome: Floats) -> Floats | None:
    """Return patients and events of a subgroup, exact, or nothing for few rows."""
    if int(rows.sum()) < LEAST[PLAIN]:
        return None
    return np.array([rows.sum(), outcome[rows].sum()])


def least_squares(x: Floats, y: Floats) -> Floats:
    """Return what plain rounds of averaging converge to: the smallest of all fits."""
    return np.asarray(np.linalg.lstsq(x, y, rcond=None)[0], dtype=np.float64)


def expected_events(time: Floats, risk: Floats, jump: float) -> float:
    """Return the expected events under a broadcast baseline that steps at `jump`."""
    return float(risk[time >= jump].sum())


def gradient(x: Floats, y: Floats, hidden: Floats, out: Floats) -> Floats:
    """Return one client's plain update of a ReLU layer, shape (units, p + 1).

    Parameters
    ----------
    x, y
        A batch, shapes (n, p) and (n,).
    hidden
        Weights and bias of the layer, shape (units, p + 1).
    out
        Weights of the output, shape (units,).
    """
    wide = np.column_stack([x, np.ones(len(x))])
    reached = wide @ hidden.T
    chance = 1 / (1 + np.exp(-np.clip(np.maximum(reached, 0) @ out, -30, 30)))
    back = (chance - y)[:, None] * out * (reached > 0)
    return np.asarray(back.T @ wide, dtype=np.float64)


def failure(text: Sequence[str]) -> str:
    """Return what a requester reads where a column of numbers holds text."""
    try:
        np.asarray(list(map(float, text)))
    except ValueError as error:
        return str(error)
    message = "The column was to hold text."
    raise InputError(message)


def accepts(task: Mapping[str, str], images: frozenset[str]) -> bool:
    """Whether a node runs a task: its image is known, its arguments are not bound."""
    return task["image"] in images

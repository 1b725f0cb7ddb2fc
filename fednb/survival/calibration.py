"""Calibration: what was predicted against what was observed, by group of risk.

Groups are bins of the linear predictor. Observed survival in a group is Kaplan-Meier's
from the group's counts on the grid; predicted survival is the mean over its patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.survival.censoring import grid_curves

if TYPE_CHECKING:
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class CalibrationGroups:
    """Predicted and observed probability of the event by group, ascending risk.

    Parameters
    ----------
    n
        Patients of each group, shape (g,).
    predicted, observed
        Shape (g,).
    std_error
        Of `observed`, shape (g,).
    """

    n: Floats
    predicted: Floats
    observed: Floats
    std_error: Floats


def merge_bins(counts: Floats, groups: int, least: float) -> Ints:
    """Return the group of each bin, so that groups are about equal.

    Parameters
    ----------
    counts
        Patients of each bin, shape (b,).
    groups
        How many are wanted, for example 10 for deciles.
    least
        Patients of each group, at least.

    Returns
    -------
    numpy.ndarray
        Group of each bin from 0, shape (b,).
    """
    target = max(float(counts.sum()) / groups, least)
    group, held = np.zeros(len(counts), dtype=np.intp), 0.0
    number, left = 0, float(counts.sum())
    for b, count in enumerate(counts.tolist()):
        # a group that is full, where enough is left for another
        if held >= target - 1e-9 and left >= least:
            number, held = number + 1, 0.0
        group[b] = number
        held += count
        left -= count
    return group


def survival_groups(
    table: Floats, predicted: Floats, at: int, groups: Ints
) -> CalibrationGroups:
    """Return calibration of predicted deaths by one grid time.

    Parameters
    ----------
    table
        Patients by event, interval and bin, shape (2, m + 1, b).
    predicted
        Sum of predicted probabilities of dying by then in each bin, shape (b,).
    at
        Number of the grid time.
    groups
        Group of each bin, shape (b,).
    """
    found = []
    for group in range(int(groups.max()) + 1):
        part = table[:, :, groups == group].sum(axis=2)
        curves = grid_curves(part[1], part[0])
        risk = curves.at_risk[: at + 1]
        died = curves.deaths[: at + 1]
        alive = np.maximum(risk - died, 0.0)
        terms = np.divide(
            died, risk * alive, out=np.zeros_like(died), where=risk * alive > 0
        )
        survival = float(curves.survival[at])
        found.append((1.0 - survival, survival * math.sqrt(float(terms.sum()))))
    observed, error = np.array(found).T
    n = np.bincount(groups, weights=table.sum(axis=(0, 1))).astype(np.float64)
    sums = np.bincount(groups, weights=predicted)
    mean = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    return CalibrationGroups(n, mean, observed, error)


def class_groups(table: Floats, predicted: Floats, groups: Ints) -> CalibrationGroups:
    """Return calibration of a predicted class.

    Parameters
    ----------
    table
        Patients by class and bin, shape (2, b).
    predicted
        Sum of predicted probabilities in each bin, shape (b,).
    groups
        Group of each bin, shape (b,).
    """
    n = np.bincount(groups, weights=table.sum(axis=0)).astype(np.float64)
    positives = np.bincount(groups, weights=table[1])
    sums = np.bincount(groups, weights=predicted)
    share = np.divide(positives, n, out=np.full(len(n), np.nan), where=n > 0)
    mean = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
    error = np.sqrt(np.maximum(share * (1 - share), 0.0) / np.maximum(n, 1.0))
    return CalibrationGroups(n, mean, share, error)

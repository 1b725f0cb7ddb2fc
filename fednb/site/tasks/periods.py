"""Intervals of a Cox fit at a site: what it counts in them, and which rules hold.

All counts are of patients, never of episodes: whoever is at risk at some time of a
window counts once in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.profiles import MAX_PARAMETER_SHARE
from fednb.privacy.rounding import round_counts
from fednb.privacy.rules import INTERVALS, PARAMETERS
from fednb.site.tasks.moments import safe_locations
from fednb.survival.episodes import leaving, observed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision
    from fednb.records.time_varying import Window
    from fednb.survival.design import CoxDesign
    from fednb.survival.grid import Survival
    from fednb.survival.protocol import HeadDesign, HeadState

    Floats = NDArray[np.float64]


def period_moments(
    z: Floats, design: HeadDesign, survival: Survival, profile: Profile
) -> Floats:
    """Return moments of each column over the patients at risk in its window.

    Parameters
    ----------
    z
        Columns in public units, shape (n, q).
    design
        Says when each column acts.
    survival
        Follow-up of the patients.
    profile
        Counts are rounded by it, means and deviations as in
        `fednb.site.tasks.moments`.

    Returns
    -------
    numpy.ndarray
        Sums, squares, patients and deaths, each of shape (q,).
    """
    spans = design.cox.steps.windows
    inside = observed(spans, survival)
    died = leaving(spans, survival) & (np.asarray(survival.event) == 1)[:, None]
    counts, deaths = inside.sum(axis=0), died.sum(axis=0)
    mean, std = safe_locations(z, design, profile, inside)
    if not profile.exact:
        counts, deaths = round_counts(counts, profile), round_counts(deaths, profile)
    return np.concatenate([counts * mean, counts * (std**2 + mean**2), counts, deaths])


def check_grid(cox: CoxDesign, survival: Survival, profile: Profile) -> Decision:
    """Whether the threshold of this site's patients leave in every cell (rule 10)."""
    cell = np.searchsorted(cox.grid, np.asarray(survival.time), side="left")
    strata = survival.strata
    group = np.zeros(cell.size) if strata is None else np.asarray(strata)
    inside = cell < len(cox.grid)
    at = (group * len(cox.grid) + cell)[inside].astype(np.intp)
    fewest = int(np.bincount(at, minlength=cox.cells).min())
    reason = (
        f"{fewest} exits in an interval of the grid; {profile.threshold} are needed."
    )
    return INTERVALS.decide(reason, profile, allow=fewest >= profile.threshold)


def check_own(
    spans: tuple[Window, ...], survival: Survival, profile: Profile
) -> Decision:
    """Whether the threshold of this site's patients leave in every window (rule 10).

    Else a coefficient would rest on a few, and its sums would tell about them.
    """
    fewest = int(leaving(spans, survival).sum(axis=0).min())
    reason = (
        f"{fewest} patients leave in an interval of a time-varying effect; "
        f"{profile.threshold} are needed."
    )
    return INTERVALS.decide(reason, profile, allow=fewest >= profile.threshold)


def check_pooled(
    design: HeadDesign, state: HeadState, profile: Profile
) -> tuple[Decision, ...]:
    """Whether every window holds deaths and patients enough over all sites (rule 9)."""
    if state.observed is None or state.died is None:
        return ()
    spans = design.cox.steps.taken(state.kept)
    fewest = float(state.died.min())
    reason = (
        f"{fewest:.0f} deaths of all sites in an interval of a time-varying effect; "
        f"{profile.threshold} are needed."
    )
    allow = fewest >= profile.threshold
    found = [INTERVALS.decide(reason, profile, allow=allow)]
    shares = [
        sum(a < end and start < b for a, b in spans) / max(float(patients), 1.0)
        for (start, end), patients in zip(spans, state.observed, strict=True)
    ]
    reason = (
        f"{max(shares):.0%} as many coefficients as patients at risk in an interval; "
        f"at most {MAX_PARAMETER_SHARE:.0%} are allowed."
    )
    allow = max(shares) <= MAX_PARAMETER_SHARE
    found.append(PARAMETERS.decide(reason, profile, allow=allow))
    return tuple(found)


def squares_share(
    z: Floats, spans: tuple[Window, ...], survival: Survival, patients: Floats
) -> float:
    """Return the largest z^2 / n of a patient on a column that acts for her."""
    inside = observed(spans, survival)
    squares = np.where(inside, np.square(z), 0.0) / np.maximum(patients, 1.0)
    return float(squares.max(initial=0.0))

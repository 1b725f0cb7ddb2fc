"""What a survival model gains over Kaplan-Meier's curve, as a site may tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import DatasetError
from fednb.privacy.joint import held, merged_places
from fednb.site.tasks.pairs import rounded
from fednb.survival.brier import brier_sums, null_brier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.site.tasks.pairs import Rows
    from fednb.survival.assessment import AssessmentState

    Floats = NDArray[np.float64]

_TENTH = 0.1


def gains(
    rows: Rows, interval: NDArray[np.intp], state: AssessmentState, profile: Profile
) -> Floats:
    """Sum squared errors of a model less those of the curve for everybody.

    Outside the open profile what lies between merged places is made up in a line. That
    is nearly right for this difference, and not for the errors themselves, which rise
    with time: these are the curve's, from the joint table, and this.

    Parameters
    ----------
    rows
        Of the patients assessed.
    interval
        Of each exit, shape (n,).
    state
        With the pooled curves.
    profile
        The open one merges and rounds nothing.

    Returns
    -------
    numpy.ndarray
        At each grid time, shape (m,); negative where the model is the better one.

    Raises
    ------
    DatasetError
        The pooled curves are not known yet.
    """
    curves, hazard = state.curves, state.hazard
    if curves is None or hazard is None:
        message = "The pooled curves are not known yet."
        raise DatasetError([message])
    exits = np.bincount(interval, minlength=len(hazard) + 1).astype(np.float64)
    deaths = np.bincount(interval, weights=rows.event, minlength=exits.size)
    died = deaths.astype(np.float64)
    beyond: Floats = exits[::-1].cumsum()[::-1][1:]
    model = brier_sums(rows.risk - state.mean, hazard, interval, rows.event, curves)
    gained = model - null_brier(curves, died[:-1], beyond)
    running = rounded(np.concatenate([[0.0], gained, gained[-1:]]), _TENTH, profile)
    if not profile.exact:
        # at the end of time weights are those of next to nobody
        running[-1] = running[merged_places(exits, profile)[-2]]
    return held(running, exits, profile, time=True)[1:-1]

"""Survival times that may leave: merged intervals (disclosure rules 3, 4 and 10).

Pure functions over one group's exact counts on the owner's grid. Neighbouring intervals
are merged until each holds the threshold of patients who leave, so that no end of an
interval is one patient's time; what is left at the end joins the last one. Numbers at
risk and deaths so far leave rounded, at these ends alone, and only while the threshold
of patients is at risk. Fewer deaths than the threshold are not told from none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import round_counts
from fednb.privacy.rules import INTERVALS, SMALL, Safe

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Merged:
    """Rounded counts at the ends of merged intervals.

    Parameters
    ----------
    time
        Where the first begins, then the end of each, shape (m,).
    count
        At these times, shape (m,).
    """

    time: Floats
    count: Ints


def merged_ends(counts: ArrayLike, least: int) -> tuple[int, ...]:
    """Return after which intervals to cut, so that each part holds enough.

    Parameters
    ----------
    counts
        Patients by interval, shape (J,).
    least
        How many a part holds at least.

    Returns
    -------
    ends
        Numbers of intervals up to each cut, the last one J; empty where all together
        are fewer than `least`.
    """
    cuts: list[int] = []
    held = 0
    each = np.asarray(counts, dtype=np.int64)
    for place, count in enumerate(each.tolist(), start=1):
        held += count
        if held >= least:
            cuts.append(place)
            held = 0
    if cuts:
        cuts[-1] = each.size
    return tuple(cuts)


def usable(at_risk: ArrayLike, profile: Profile) -> slice:
    """Return the intervals of a curve, from the first with enough patients at risk.

    Parameters
    ----------
    at_risk
        Exact, by interval, shape (J,).
    profile
        Gives the threshold at which curves are cut.
    """
    enough = np.asarray(at_risk) >= max(profile.threshold, 1)
    if not enough.any():
        return slice(0, 0)
    first = int(np.argmax(enough))
    rest = np.flatnonzero(~enough[first:])
    return slice(first, first + int(rest[0]) if rest.size else enough.size)


def safe_at_risk(
    edges: Floats, at_risk: Ints, exits: Ints, profile: Profile
) -> Safe[Merged]:
    """Rules 4 and 10: return rounded numbers at risk at the ends of merged intervals.

    Parameters
    ----------
    edges
        Of the owner's intervals, from 0, shape (J + 1,).
    at_risk, exits
        Of one group, by interval, shape (J,); exact.
    profile
        The site's.
    """
    kept = usable(at_risk, profile)
    if kept.start == kept.stop:
        return Safe(None, (_few("at risk at once", profile),))
    after = int(at_risk[kept.stop - 1] - exits[kept.stop - 1])
    if kept.stop < at_risk.size:
        after = int(at_risk[kept.stop])
    here = np.append(at_risk[kept], after)
    cuts = merged_ends(exits[kept], max(profile.threshold, 1))
    places = np.array([0, *cuts], dtype=np.int64)
    counts = round_counts(here[places], profile)
    if not cuts:
        # too few leave for their times to be told: as if nobody did
        places = np.array([0, here.size - 1])
        counts = np.repeat(counts, 2)
    value = Merged(edges[kept.start + places], counts)
    return Safe(value, (_merged(len(cuts), exits.size, profile),))


def safe_deaths(
    edges: Floats, at_risk: Ints, deaths: Ints, profile: Profile
) -> Safe[Merged]:
    """Rules 3, 4 and 10: return rounded deaths so far at the ends of merged intervals.

    Parameters
    ----------
    edges, at_risk, profile
        As for `safe_at_risk`.
    deaths
        Of one cause and group, by interval, shape (J,); exact.

    Returns
    -------
    safe
        None where there are fewer deaths than the threshold, as where there are none.
    """
    kept = usable(at_risk, profile)
    cuts = merged_ends(deaths[kept], max(profile.threshold, 1))
    if not cuts:
        return Safe(None, (_few("deaths", profile),))
    so_far = np.concatenate([[0], np.cumsum(deaths[kept])])
    places = np.array([0, *cuts], dtype=np.int64)
    value = Merged(edges[kept.start + places], round_counts(so_far[places], profile))
    return Safe(value, (_merged(len(cuts), deaths.size, profile),))


def _few(what: str, profile: Profile) -> Decision:
    # not a denial: the rest of the table leaves, and this part as if nobody were there
    reason = f"fewer than {max(profile.threshold, 1)} {what}: not told from none"
    return SMALL.decide(reason, profile, allow=True)


def _merged(parts: int, of: int, profile: Profile) -> Decision:
    reason = f"{of} intervals of the owner's grid leave as {parts or 1}"
    return INTERVALS.decide(reason, profile, allow=True)

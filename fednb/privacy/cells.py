"""Safe cells: counts, means, variances and levels (rules 1-4, 6 and 14).

All functions are pure. ``values`` hold one value a distinct patient, missing ones
dropped: `check_patients` is how a caller makes sure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import round_count, round_value, show_count
from fednb.privacy.rules import (
    DOMINANCE,
    LABELS,
    PATIENTS,
    ROUNDING,
    SMALL,
    THRESHOLD,
    Safe,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Floats = NDArray[np.float64]


def check_patients(patients: Sequence[str], profile: Profile) -> Decision:
    """Rule 1: refuse rows of which two belong to one patient.

    Parameters
    ----------
    patients
        Patient id of each row.
    profile
        The site's.
    """
    rows, distinct = len(patients), len(set(patients))
    reason = f"{distinct} distinct patients in {rows} rows"
    return PATIENTS.decide(reason, profile, allow=rows == distinct)


def check_threshold(n: int, profile: Profile) -> Decision:
    """Rule 2: refuse fewer patients than the threshold.

    Parameters
    ----------
    n
        Distinct patients left after missing values are dropped.
    profile
        Gives the threshold.
    """
    least = max(profile.threshold, 1)
    reason = f"{n} patients; at least {least} are needed"
    return THRESHOLD.decide(reason, profile, allow=n >= least)


def check_small(n: int, profile: Profile) -> Decision:
    """Rule 3: say under which sign a count is shown; it stops nothing."""
    reason = f"{n} patients are shown as {show_count(n, profile)}"
    return SMALL.decide(reason, profile, allow=True)


def safe_count(n: int, profile: Profile) -> Safe[int]:
    """Rules 2 and 4: return a count rounded, or none below the threshold."""
    threshold = check_threshold(n, profile)
    if not threshold.allow:
        return Safe(None, (threshold,))
    shown = round_count(n, profile)
    rounding = ROUNDING.decide(f"{n} leaves as {shown}", profile, allow=True)
    return Safe(shown, (threshold, rounding))


def check_dominance(values: Floats, profile: Profile) -> Decision:
    """Rule 6: refuse a total that one or two patients all but determine.

    Parameters
    ----------
    values
        Shape (n,); their absolute values are what patients contribute.
    profile
        Gives the share of the top two (NK rule) and the p-ratio.

    Notes
    -----
    The rules of ACRO: top two below 90 % of the total; all others together at least
    10 % of the largest. A total of 0 passes: nobody dominates it.
    """
    size = np.abs(values)
    total = float(size.sum())
    if total == 0 or profile.exact:
        return DOMINANCE.decide("nobody dominates", profile, allow=True)
    top = np.partition(size, -2)[-2:] if size.size > 1 else size
    others = max(total - float(top.sum()), 0.0)
    share = 1 - others / total
    ratio = others / float(top.max())
    reason = (
        f"top two hold {share:.3f} of the total (below {profile.top_share} is needed); "
        f"all others are {ratio:.3f} of the largest (at least {profile.p_ratio})"
    )
    allow = share < profile.top_share and ratio >= profile.p_ratio
    return DOMINANCE.decide(reason, profile, allow=allow)


def _checked(values: Floats, profile: Profile) -> tuple[Decision, ...]:
    """Return the decisions on a cell of numbers, up to the first that stops it."""
    threshold = check_threshold(values.size, profile)
    if not threshold.allow:
        return (threshold,)
    return (threshold, check_dominance(values, profile))


def safe_mean(values: Floats, resolution: float, profile: Profile) -> Safe[float]:
    """Rules 2, 4 and 6: return the mean with one decimal beyond the unit.

    Parameters
    ----------
    values
        Shape (n,): one a patient, clipped to the declared bounds, none missing.
    resolution
        In what steps the values are recorded.
    profile
        The site's.
    """
    decisions = _checked(values, profile)
    if not decisions[-1].allow:
        return Safe(None, decisions)
    mean = round_value(float(values.mean()), resolution, profile)
    rounding = ROUNDING.decide(f"mean leaves as {mean:.6g}", profile, allow=True)
    return Safe(mean, (*decisions, rounding))


def safe_variance(values: Floats, resolution: float, profile: Profile) -> Safe[float]:
    """Rules 2, 4 and 6: return the variance of a rounded standard deviation.

    Divided by n, not n - 1, so that pooled sums of squares add up. The standard
    deviation has the values' unit; it is rounded as a mean is, then squared. Rule 6
    looks at the squared deviations too: one outlier could be solved for.

    Parameters
    ----------
    values, resolution, profile
        As for `safe_mean`.
    """
    decisions = _checked(values, profile)
    if not decisions[-1].allow:
        return Safe(None, decisions)
    # who stands apart holds the variance even where nobody holds the total
    apart = check_dominance((values - values.mean()) ** 2, profile)
    decisions = (*decisions, apart)
    if not apart.allow:
        return Safe(None, decisions)
    variance = float(values.var())
    if not profile.exact:
        variance = round_value(math.sqrt(variance), resolution, profile) ** 2
    rounding = ROUNDING.decide(
        f"variance leaves as {variance:.6g}", profile, allow=True
    )
    return Safe(variance, (*decisions, rounding))


def check_labels(labels: Sequence[str], n: int, profile: Profile) -> Decision:
    """Rule 14: refuse a category with too many or too long labels.

    Parameters
    ----------
    labels
        As the owner declares them.
    n
        Patients in cells that may leave: those in small cells must not be felt.
    profile
        Gives the limits.
    """
    longest = max((len(label) for label in labels), default=0)
    reason = (
        f"{len(labels)} labels of up to {longest} characters for {n} patients in cells "
        f"that may leave; at most {profile.max_levels}, {profile.level_share} of the "
        f"patients, and {profile.label_length} characters"
    )
    allow = (
        len(labels) <= profile.max_levels
        and len(labels) <= profile.level_share * n
        and longest <= profile.label_length
    )
    return LABELS.decide(reason, profile, allow=allow)


def safe_levels(counts: Mapping[str, int], profile: Profile) -> Safe[dict[str, int]]:
    """Rules 2, 3, 4 and 14: return the rounded count of each label.

    Parameters
    ----------
    counts
        Distinct patients by label, every declared label included.
    profile
        The site's.

    Returns
    -------
    levels
        Rounded counts; 0 for a label below the threshold, as for one without
        patients. None where the labels themselves are refused.
    """
    cells = {label: safe_count(n, profile) for label, n in counts.items()}
    shown = sum(n for label, n in counts.items() if cells[label].value is not None)
    labels = check_labels(tuple(counts), shown, profile)
    decisions = (*(d for cell in cells.values() for d in cell.decisions), labels)
    if not labels.allow:
        return Safe(None, decisions)
    return Safe({label: cell.value or 0 for label, cell in cells.items()}, decisions)

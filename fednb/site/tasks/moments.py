"""Where a fit's columns lie and how wide they are, as a site may tell it.

Location and scale only set the units of a fit, so coarse ones do. Fine ones would show
whoever alone moves a column: a rare label, or its product with another column, has a
mean that is that patient's value. So a column that fewer than half the threshold of a
site's patients move counts as one that nobody moves, and of a binary column the number
of patients with the rarer value leaves in steps of the threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.privacy.rounding import round_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.survival.protocol import HeadDesign

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

DECIMALS = 2


def safe_locations(
    z: Floats, design: HeadDesign, profile: Profile, inside: Bools | None = None
) -> tuple[Floats, Floats]:
    """Return mean and SD of each column, shape (q,), rounded.

    Parameters
    ----------
    z
        Columns in public units, shape (n, q).
    design
        Says where 0 lies in these units, and which columns are binary.
    profile
        Of the contract.
    inside
        Patients that count for each column, shape (n, q); None: all.
    """
    found = []
    for j, (center, half) in enumerate(zip(design.center, design.half, strict=True)):
        values = z[:, j] if inside is None else z[inside[:, j], j]
        nothing = (0.0 - center) / half
        column = safe_location(values, nothing, profile, binary=design.binary[j])
        found.append(column)
    mean, std = zip(*found, strict=True)
    return np.asarray(mean), np.asarray(std)


def safe_location(
    z: Floats, nothing: float, profile: Profile, *, binary: bool
) -> tuple[float, float]:
    """Return mean and SD of a column, rounded.

    Parameters
    ----------
    z
        In public units, shape (n,).
    nothing
        Where 0 lies in these units.
    profile
        Gives the threshold; the open one rounds nothing.
    binary
        Whether the column holds 0 and 1 only: then 1 lies at ``-nothing``.
    """
    if profile.exact or not z.size:
        return (float(z.mean()), float(z.std())) if z.size else (0.0, 0.0)
    moved, step = int(np.count_nonzero(z != nothing)), profile.threshold
    if binary:
        rarer = min(moved, z.size - moved)
        shown = max(round_count(z.size, profile), 1)
        share = min(step * ((2 * rarer + step) // (2 * step)) / shown, 0.5)
        width = float(2 * abs(nothing) * np.sqrt(share * (1 - share)))
        if moved > rarer:
            share = 1 - share
        return nothing * (1 - 2 * share), width
    if 2 * moved < step:
        return nothing, 0.0
    return round(float(z.mean()), DECIMALS), round(float(z.std()), DECIMALS)

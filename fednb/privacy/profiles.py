"""Disclosure profiles: how strict a site is. The owner chooses; a job may tighten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fednb.errors import UnknownNameError

Rounding = Literal["nearest-10", "midpoint-6", "none"]

_STRICTNESS: Final[dict[str, int]] = {"none": 0, "midpoint-6": 1, "nearest-10": 2}

MAX_PARAMETER_SHARE: Final = 0.1
"""Coefficients a patient, at most (disclosure rule 9)."""
MAX_LEVERAGE: Final = 1 / 3
"""Of one patient on one column, at most (disclosure rule 9)."""


@dataclass(frozen=True)
class Profile:
    """Parameters of the disclosure rules; the defaults are those of every strict site.

    Parameters
    ----------
    name
        ``"standard"``, ``"rare-disease"``, ``"open"``, or the owner's own.
    threshold
        Smallest number of distinct patients behind a released value (rule 2).
    rounding
        Of counts (rule 4): ``"nearest-10"``, half up; ``"midpoint-6"``:
        ``ceil(x / 6) * 6 - 3``, OpenSAFELY's rule; ``"none"``: exact values leave.
    top_share
        Two largest contributors stay below this share of a total (rule 6, NK).
    p_ratio
        All but the two largest contribute at least this share of the largest (rule 6).
    tail
        Quantiles lie within ``[tail, 1 - tail]`` (rule 7).
    max_bins, bin_share
        Histogram: at most `max_bins` bins and `bin_share` of the patients (rule 8).
    max_levels, level_share, label_length
        Categories: at most `max_levels` labels, `level_share` of the patients, and
        `label_length` characters (rule 14).
    """

    name: str
    threshold: int
    rounding: Rounding
    top_share: float = 0.9
    p_ratio: float = 0.1
    tail: float = 0.05
    max_bins: int = 20
    bin_share: float = 0.1
    max_levels: int = 40
    level_share: float = 0.33
    label_length: int = 80

    @property
    def exact(self) -> bool:
        """Whether exact values leave: for public or synthetic data only."""
        return self.rounding == "none"


STANDARD: Final = Profile("standard", threshold=10, rounding="nearest-10")
"""The default."""

RARE_DISEASE: Final = Profile("rare-disease", threshold=7, rounding="midpoint-6")
"""For small cohorts; the owner signs."""

OPEN: Final = Profile(
    "open",
    threshold=1,
    rounding="none",
    top_share=2.0,
    p_ratio=0.0,
    tail=0.0,
    max_bins=10**9,
    bin_share=1e9,
    max_levels=10**9,
    level_share=1e9,
    label_length=10**9,
)
"""For public or synthetic data only; the owner signs, and every result says so."""

PROFILES: Final[dict[str, Profile]] = {
    p.name: p for p in (STANDARD, RARE_DISEASE, OPEN)
}
"""The profiles that a contract may name."""


def profile_named(name: str) -> Profile:
    """Return a profile by name.

    Raises
    ------
    UnknownNameError
        There is none of that name.
    """
    if name not in PROFILES:
        raise UnknownNameError("disclosure profile", name, PROFILES)
    return PROFILES[name]


def at_least_as_strict(profile: Profile, than: Profile) -> bool:
    """Return whether `profile` loosens no parameter of `than` (rule 16)."""
    return (
        profile.threshold >= than.threshold
        and _STRICTNESS[profile.rounding] >= _STRICTNESS[than.rounding]
        and profile.p_ratio >= than.p_ratio
        and profile.tail >= than.tail
        and profile.top_share <= than.top_share
        and profile.max_bins <= than.max_bins
        and profile.bin_share <= than.bin_share
        and profile.max_levels <= than.max_levels
        and profile.level_share <= than.level_share
        and profile.label_length <= than.label_length
    )

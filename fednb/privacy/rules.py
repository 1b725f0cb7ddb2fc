"""The disclosure rules by number: their texts, versions, and how they decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from fednb.records.outputs import Decision

if TYPE_CHECKING:
    from fednb.privacy.profiles import Profile

T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """One rule of disclosure control.

    Parameters
    ----------
    number
        As in the owner's handbook; never reused.
    name
        Short name.
    version
        Raised whenever the rule decides differently.
    text
        What it demands, for people to read.
    """

    number: int
    name: str
    version: int
    text: str

    @property
    def label(self) -> str:
        """Name under which decisions are recorded."""
        return f"disclosure.{self.number}-{self.name}"

    def decide(self, reason: str, profile: Profile, *, allow: bool) -> Decision:
        """Return a decision of this rule.

        Parameters
        ----------
        reason
            For the site owner: the value seen, and what follows.
        profile
            Whose threshold applied.
        allow
            Whether the rule lets it pass.
        """
        return Decision(
            allow=allow,
            rule=self.label,
            reason=reason,
            version=self.version,
            threshold=float(profile.threshold),
        )


@dataclass(frozen=True)
class Safe(Generic[T]):
    """A value that may leave, or none, and the decisions behind it.

    Parameters
    ----------
    value
        Rounded and checked; None where a rule stopped it.
    decisions
        In the order of the rules applied; private to the site.
    """

    value: T | None
    decisions: tuple[Decision, ...]


PATIENTS: Final = Rule(
    1,
    "patients",
    1,
    "What counts is a distinct patient: several rows or scans of one patient count "
    "once.",
)
THRESHOLD: Final = Rule(
    2,
    "threshold",
    1,
    "A cell, bin, mean, variance or quantile needs at least the threshold of patients, "
    "counted after those with a missing value are dropped for that statistic.",
)
SMALL: Final = Rule(
    3,
    "small-like-none",
    1,
    "No patients and fewer than the threshold cannot be told apart.",
)
ROUNDING: Final = Rule(
    4,
    "rounding",
    1,
    "Counts leave rounded to 10, or to midpoints of 6; means and standard deviations "
    "with one decimal beyond the unit of record; proportions come from rounded counts.",
)
DOMINANCE: Final = Rule(
    6,
    "dominance",
    1,
    "The two largest contributors hold less than 90 % of a total, and all others "
    "together at least 10 % of the largest.",
)
QUANTILES: Final = Rule(
    7,
    "quantiles",
    1,
    "No minimum and no maximum; quantiles between 5 and 95 % come from the histogram "
    "on the owner's grid, with the threshold of patients on each side.",
)
HISTOGRAM: Final = Rule(
    8,
    "histogram",
    1,
    "At most 20 bins and one for every 10 patients, each with the threshold of "
    "patients and with edges on the owner's grid.",
)
LABELS: Final = Rule(
    14,
    "labels",
    1,
    "A category has at most 40 labels of at most 80 characters and at most a third as "
    "many labels as patients; a label is counted only where its cell may leave.",
)

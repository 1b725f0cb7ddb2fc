"""The disclosure rules by number: texts, versions, where they act, how they decide.

Only rules that are enforced have an entry.
"""

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
    where
        The module that applies it.
    """

    number: int
    name: str
    version: int
    text: str
    where: str

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
    "fednb.site.tasks.table",
)
THRESHOLD: Final = Rule(
    2,
    "threshold",
    1,
    "A cell, bin, mean, variance or quantile needs at least the threshold of patients, "
    "counted after those with a missing value are dropped for that statistic.",
    "fednb.privacy.cells",
)
SMALL: Final = Rule(
    3,
    "small-like-none",
    1,
    "No patients and fewer than the threshold cannot be told apart.",
    "fednb.privacy.cells",
)
ROUNDING: Final = Rule(
    4,
    "rounding",
    1,
    "Counts leave rounded to 10, or to midpoints of 6; means and standard deviations "
    "with one decimal beyond the unit of record; proportions come from rounded counts.",
    "fednb.privacy.cells",
)
TOTALS: Final = Rule(
    5,
    "totals",
    1,
    "A cohort has one rounded count in every table; a second cell of a row or column "
    "is suppressed where a released total narrows down a small one.",
    "fednb.privacy.margins",
)
DOMINANCE: Final = Rule(
    6,
    "dominance",
    3,
    "The two largest contributors hold less than 90 % of a total or a variance, and "
    "all others together at least 10 % of the largest; so do the other sites of a mean "
    "that hides its parts.",
    "fednb.privacy.cells",
)
QUANTILES: Final = Rule(
    7,
    "quantiles",
    1,
    "No minimum and no maximum; quantiles between 5 and 95 % come from the histogram "
    "on the owner's grid, with the threshold of patients on each side.",
    "fednb.privacy.summaries",
)
HISTOGRAM: Final = Rule(
    8,
    "histogram",
    1,
    "At most 20 bins and one for every 10 patients, each with the threshold of "
    "patients and with edges on the owner's grid.",
    "fednb.privacy.histograms",
)
PARAMETERS: Final = Rule(
    9,
    "parameters",
    2,
    "A fit has at most one coefficient for every 10 patients over all sites; both "
    "values of a binary column need the threshold of patients, and no patient may have "
    "more than a third of a column's leverage.",
    "fednb.site.tasks.heads",
)
INTERVALS: Final = Rule(
    10,
    "intervals",
    1,
    "Survival times leave as merged intervals of the owner's grid, each with the "
    "threshold of the site's own patients who leave; numbers at risk and deaths are "
    "rounded, and curves are cut where fewer than the threshold are at risk.",
    "fednb.privacy.intervals",
)
PARTICIPANT_SETS: Final = Rule(
    11,
    "participant-sets",
    1,
    "A sum that hides its parts has at least 3 sites; two sets of sites answered for "
    "one statistic are the same or differ by at least 3.",
    "fednb.site.cohorts",
)
DIFFERENCING: Final = Rule(
    12,
    "differencing",
    1,
    "A cohort that differs from an earlier answered one by fewer patients than the "
    "threshold gets the earlier answer back, for any requester and after restarts; a "
    "fit is made on the earlier cohort, or refused.",
    "fednb.privacy.differencing",
)
NOISE: Final = Rule(
    13,
    "noise",
    1,
    "Noise follows from the site's secret and from what is answered, never from a seed "
    "that others know, and never afresh: the same question brings the same noise.",
    "fednb.site.tasks.secret",
)
LABELS: Final = Rule(
    14,
    "labels",
    1,
    "A category has at most 40 labels of at most 80 characters and at most a third as "
    "many labels as patients; a label is counted only where its cell may leave.",
    "fednb.privacy.cells",
)
REFUSALS: Final = Rule(
    15,
    "refusals",
    1,
    "A refusal is a fixed text, a cause from a closed list and a correlation id, in a "
    "message of one size.",
    "fednb.site.release",
)
TIGHTEN: Final = Rule(
    16,
    "tighten",
    1,
    "A job may tighten a site's profile, never loosen it.",
    "fednb.site.policy",
)
RECORDS: Final = Rule(
    17,
    "records",
    1,
    "Every verdict is recorded with its rule, version and threshold, and every release "
    "with the hashes of what was asked and of what left.",
    "fednb.site.release",
)
WEIGHTS: Final = Rule(
    18,
    "weights",
    3,
    "Network weights leave under the secure sum, sealed to the next of at least three "
    "sites, or under differential privacy with a budget; counts used as weights are "
    "rounded.",
    "fednb.privacy.egress",
)
FITS: Final = Rule(
    19,
    "fits",
    2,
    "Each site sums every site's signed part itself and takes the next step of a fit "
    "from there; at most 12 evaluations. One fit a cohort, outcome and design: the "
    "same again brings the same totals, others draw on a budget an outcome.",
    "fednb.site.assembly",
)
PRECISION: Final = Rule(
    20,
    "precision",
    1,
    "Totals of fits are rounded to the contract's share of a patient's SD.",
    "fednb.site.tasks.heads",
)
BOUNDS: Final = Rule(
    21,
    "bounds",
    1,
    "Values are clipped to the declared bounds before they are used.",
    "fednb.site.tasks.heads",
)

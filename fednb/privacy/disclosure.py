"""Disclosure control: the registry of rules, and the safe values they let through.

Rules own no state: thresholds come from a `Profile`, verdicts go into `Decision`
records that the site keeps. Rule 16 (a job may only tighten) is `at_least_as_strict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fednb.privacy import rules
from fednb.privacy.cells import (
    check_dominance,
    check_labels,
    check_patients,
    check_small,
    check_threshold,
    safe_count,
    safe_levels,
    safe_mean,
    safe_variance,
)
from fednb.privacy.differencing import check_difference, check_participants
from fednb.privacy.histograms import (
    Histogram,
    check_histogram,
    check_quantile,
    safe_histogram,
    safe_quantiles,
)
from fednb.privacy.intervals import safe_at_risk, safe_deaths
from fednb.privacy.margins import check_subtraction, second_cells
from fednb.privacy.profiles import (
    OPEN,
    PROFILES,
    RARE_DISEASE,
    STANDARD,
    Profile,
    at_least_as_strict,
    profile_named,
)
from fednb.privacy.rounding import round_count, round_counts, round_value, show_count
from fednb.privacy.rules import Rule, Safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.records.outputs import Decision

__all__ = [
    "OPEN",
    "PROFILES",
    "RARE_DISEASE",
    "RULES",
    "STANDARD",
    "Enforced",
    "Histogram",
    "Profile",
    "Rule",
    "Safe",
    "at_least_as_strict",
    "check_difference",
    "check_dominance",
    "check_histogram",
    "check_labels",
    "check_participants",
    "check_patients",
    "check_quantile",
    "check_small",
    "check_subtraction",
    "check_threshold",
    "profile_named",
    "round_count",
    "round_counts",
    "round_value",
    "safe_at_risk",
    "safe_count",
    "safe_deaths",
    "safe_histogram",
    "safe_levels",
    "safe_mean",
    "safe_quantiles",
    "safe_variance",
    "second_cells",
    "show_count",
]


@dataclass(frozen=True)
class Enforced:
    """A rule in force, and the function that applies it.

    Parameters
    ----------
    rule
        Number, name, version, text and where it acts.
    function
        Pure; returns a `Decision`, or a `Safe` value that holds decisions. None where
        a rule is how a module works rather than a question with an answer.
    """

    rule: Rule
    function: Callable[..., Decision | Safe[Any]] | None = None

    @property
    def version(self) -> int:
        """Version of the rule."""
        return self.rule.version

    @property
    def name(self) -> str:
        """Short name of the rule."""
        return self.rule.name

    @property
    def where(self) -> str:
        """The module that applies the rule."""
        return self.rule.where

    @property
    def text(self) -> str:
        """What the rule demands, for people to read."""
        return self.rule.text


RULES: Final[dict[int, Enforced]] = {
    enforced.rule.number: enforced
    for enforced in (
        Enforced(rules.PATIENTS, check_patients),
        Enforced(rules.THRESHOLD, check_threshold),
        Enforced(rules.SMALL, check_small),
        Enforced(rules.ROUNDING, safe_count),
        Enforced(rules.TOTALS, check_subtraction),
        Enforced(rules.DOMINANCE, check_dominance),
        Enforced(rules.QUANTILES, check_quantile),
        Enforced(rules.HISTOGRAM, check_histogram),
        Enforced(rules.PARAMETERS),
        Enforced(rules.INTERVALS, safe_deaths),
        Enforced(rules.PARTICIPANT_SETS, check_participants),
        Enforced(rules.DIFFERENCING, check_difference),
        Enforced(rules.NOISE),
        Enforced(rules.LABELS, check_labels),
        Enforced(rules.REFUSALS),
        Enforced(rules.TIGHTEN),
        Enforced(rules.RECORDS),
        Enforced(rules.WEIGHTS),
        Enforced(rules.FITS),
        Enforced(rules.PRECISION),
        Enforced(rules.BOUNDS),
    )
}
"""Rules in force, by number."""

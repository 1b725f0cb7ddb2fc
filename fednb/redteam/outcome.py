"""What an attack is, and what came of it: k of N with a bound, never a bare verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy.stats import beta

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.95
CLOSE: Final = 0.01
"""A number is recovered where it is within this share of a standard deviation."""

FALSE_POSITIVES: Final = 0.01
"""Rate of false positives at which a membership attack is judged."""

FEDNB: Final = "fednb"

Unit = Literal["patients", "members", "messages"]


@dataclass(frozen=True)
class Outcome:
    """What one attack got out of one system.

    Parameters
    ----------
    recovered
        Patients of whom the attacker holds two attributes, or one that is theirs
        alone, within `CLOSE` of a standard deviation, beyond what he would hold without
        them in the data. For contracts: messages that were answered and must not be.
    tried
        How many could have been.
    unit
        What is counted; ``"members"`` are found at `FALSE_POSITIVES`.
    note
        Beside the count, for a reader.
    """

    recovered: int
    tried: int
    unit: Unit = "patients"
    note: str = ""

    def bounds(self) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of the rate, at `CONFIDENCE`.

        Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934), 404-413.
        """
        return clopper_pearson(self.recovered, self.tried)


@dataclass(frozen=True)
class Attack:
    """One attack on one system.

    Parameters
    ----------
    name
        As in the reference.
    system
        ``"fednb"``, or whose rule was implemented again.
    tries
        What the attacker does, in a line.
    run
        Carries it out; everything random comes from the generator.
    """

    name: str
    system: str
    tries: str
    run: Callable[[np.random.Generator], Outcome]


def clopper_pearson(successes: int, trials: int) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial proportion.

    Parameters
    ----------
    successes, trials
        ``0 <= successes <= trials`` and ``trials >= 1``.
    """
    tail = (1 - CONFIDENCE) / 2
    failures = trials - successes
    low = float(beta.ppf(tail, successes, failures + 1)) if successes else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, failures)) if failures else 1.0
    return low, high


def recovered(claims: Floats, truth: Floats, spread: Floats) -> int:
    """Return how many rows of `truth` a claim meets in every attribute.

    Parameters
    ----------
    claims
        Rows that the attacker asserts, shape (claims, p).
    truth
        Rows of patients, shape (n, p).
    spread
        Standard deviation of each attribute, shape (p,).
    """
    if not claims.size:
        return 0
    gap = np.abs(claims[:, None, :] - truth[None, :, :])
    return int((gap <= CLOSE * spread).all(axis=2).any(axis=0).sum())


def beyond(claims: Floats, truth: Floats, decoys: Floats) -> int:
    """Return rows recovered, less what the same claims meet among outsiders.

    Parameters
    ----------
    claims, truth
        See `recovered`.
    decoys
        As many rows of the same distribution that were never in the data.
    """
    spread = truth.std(axis=0)
    found = recovered(claims, truth, spread) - recovered(claims, decoys, spread)
    return max(found, 0)


def membership(scores: Floats, outside: Floats, note: str = "") -> Outcome:
    """Return the members that are found at one false positive in a hundred.

    A rate whose lower bound does not exceed that of the outsiders finds nobody: the
    attacker flags as many strangers.

    Parameters
    ----------
    scores, outside
        Larger is more like a member: of members, and of outsiders.
    note
        For a reader; the true-positive rate is put before it.
    """
    cut = float(np.quantile(outside, 1 - FALSE_POSITIVES))
    flagged = int((scores > cut).sum())
    low, _ = clopper_pearson(flagged, scores.size)
    rate = f"true-positive rate {flagged / scores.size:.3f} at {FALSE_POSITIVES:g}"
    found = flagged if low > FALSE_POSITIVES else 0
    return Outcome(found, scores.size, "members", "; ".join(filter(None, (rate, note))))

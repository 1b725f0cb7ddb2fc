"""Rule 12 for fits: which patients a fit is made on, and how many fits there may be.

A fit's totals are rounded to a tenth of a patient's SD, which hides nobody: two fits on
cohorts that differ by one patient would give that patient's row. So a fit whose cohort
differs from an earlier one by fewer patients than the threshold is made on the earlier
cohort's patients; where one of these has a value missing, or is gone, it is refused.
All fits are one series, whatever their outcome: they share the covariates' moments.

The same cohorts, outcome and design are the same fit. Making it again says nothing new
as long as its rounds bring the same totals, which the gatekeeper compares; so it is
free. Everything else draws on a budget an outcome that no requester can reset, refused
fits too: whether a rule stops one, or an error, depends on the patients.

The ends of a fit's intervals, put together with those of earlier fits on its cohort,
must hold the threshold of patients who leave in between (rule 10): two grids that
differ by one end would show them.

Limits: cohorts that differ by the threshold or more are compared in pairs, not in
threes; for those the budget is the only wall.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.privacy.differencing import Answer, Book, Series
from fednb.privacy.rules import DIFFERENCING, FITS, INTERVALS, Safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from fednb.privacy.differencing import Members
    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Exits = tuple[NDArray[np.float64], NDArray[np.int64]]

FITTED: Final = "fit"
"""The series of cohorts on which fits were made."""

EVALUATED: Final = "evaluation"
"""The series of cohorts on which fits were evaluated."""

_ANSWERED: Final = b"fitted"


@dataclass(frozen=True)
class Past:
    """What a site remembers of the fits of one outcome.

    Attributes
    ----------
    design
        Digest of all that the contract fixes about a fit besides its patients.
    known
        Names of the fits that were made or refused, see `FitBook.draw`.
    limit
        How many distinct ones there may be, those of all requesters together.
    """

    design: str
    known: frozenset[str]
    limit: int


class FitBook(Book):
    """The cohorts and fits that one fit may lean on, and what it adds.

    Parameters
    ----------
    profile, positions, earlier
        As for `Book`.
    past
        Of the outcome.
    """

    def __init__(
        self,
        profile: Profile,
        positions: NDArray[np.int64],
        earlier: Mapping[str, Series],
        past: Past,
    ) -> None:
        super().__init__(profile, positions, earlier)
        self._past = past
        self.fit = ""
        """Name of the fit that was drawn; empty: none, or the budget holds no more."""

    def patients(self, series: str, members: Members, able: Members) -> Safe[Members]:
        """Return the patients on whom a fit is made in place of those asked for.

        Parameters
        ----------
        series
            `FITTED` or `EVALUATED`.
        members
            Patients asked for that have all values, shape (patients,).
        able
            All patients that have all values, whether asked for or not.

        Returns
        -------
        chosen
            `members` themselves, or those of the oldest near cohort; None where these
            cannot be had any more. With the decision behind it.
        """
        if self._profile.exact:
            return Safe(members, ())
        cohort, size = self._cohort(members)
        found = self._oldest(series, members)
        if found is None:
            self._add((series, ""), cohort, size, _ANSWERED)
            reason = "no earlier cohort of a fit is near"
            fresh = DIFFERENCING.decide(reason, self._profile, allow=True)
            return Safe(members, (fresh,))
        apart, answer = found
        chosen = self._here(answer)
        held = int(np.count_nonzero(chosen & able)) == answer.size
        if held:
            reason = f"made on an earlier cohort, which differs by {apart} patients"
        else:
            reason = (
                f"An earlier cohort of a fit differs by {apart} patients, and some of "
                "its patients lack a value or are gone: the difference would show them."
            )
        decision = DIFFERENCING.decide(reason, self._profile, allow=held)
        return Safe(chosen if held else None, (decision,))

    def holds(self, members: Members) -> bool:
        """Whether a cohort holds the threshold."""
        return int(np.count_nonzero(members)) >= self._profile.threshold

    def earlier(self, series: str, members: Members) -> Members:
        """Return the patients of the oldest near cohort, or `members`; adds nothing.

        Parameters
        ----------
        series, members
            As for `patients`.
        """
        found = self._oldest(series, members)
        return members if found is None else self._here(found[1])

    def cut(
        self, series: str, members: Members, ends: Iterable[float], exits: Exits
    ) -> Decision:
        """Say whether a fit's ends, with those of earlier fits, cut out no few.

        Two grids that differ by one end give, subtracted, the sums over whoever leaves
        in between: so the ends of all fits on near cohorts are looked at together.

        Parameters
        ----------
        series
            Of the follow-up, and of what it is stratified by.
        members
            Patients on whom the fit is made, shape (patients,).
        ends
            Of the fit's own intervals.
        exits
            When each of all patients leaves, and in which stratum, from 0.
        """
        cohort, size = self._cohort(members)
        known = self._earlier.get(series, Series())
        near = known.near(cohort, size, self._profile.threshold)
        earlier = {float(e) for _, a in near for e in np.frombuffer(a.value, "<f8")}
        own = sorted(set(ends))
        if not earlier.issuperset(own):
            self._add((series, ""), cohort, size, np.array(own, "<f8").tobytes())
        together = np.array(sorted({*earlier, *own}))
        cell = np.searchsorted(together, exits[0][members], side="left")
        group = exits[1][members]
        width = together.size + 1
        counts = np.bincount(group * width + cell, minlength=width * (group.max() + 1))
        fewest = int(counts.reshape(-1, width)[:, :-1].min())
        least = self._profile.threshold
        reason = (
            f"{fewest} patients leave between two ends of this fit and of earlier ones "
            f"on its cohort, put together; {least} are needed."
        )
        return INTERVALS.decide(reason, self._profile, allow=fewest >= least)

    def draw(self, cohorts: Iterable[Members]) -> Decision:
        """Name the fit, and say whether the budget of its outcome holds it (rule 19).

        Parameters
        ----------
        cohorts
            Patients on whom it is made, and those on whom it is evaluated.
        """
        digest = hashlib.sha256(self._past.design.encode())
        for members in cohorts:
            words, _ = self._cohort(members)
            body = words.tobytes().rstrip(b"\0")
            digest.update(hashlib.sha256(body).digest())
        self.fit = digest.hexdigest()
        made, limit = len(self._past.known), self._past.limit
        if self.fit in self._past.known:
            reason = "the same fit was made before: its totals must come again"
            return FITS.decide(reason, self._profile, allow=True)
        reason = f"{made} of {limit} distinct fits of this outcome were asked for"
        if made >= limit:
            reason += "; raise max_fits in policy.toml"
            self.fit = ""
        return FITS.decide(reason, self._profile, allow=made < limit)

    def _oldest(self, series: str, members: Members) -> tuple[int, Answer] | None:
        """Return the oldest near cohort: later ones never change which it is."""
        if series not in self._earlier:
            return None
        cohort, size = self._cohort(members)
        near = self._earlier[series].near(cohort, size, self._profile.threshold)
        return near[0] if near else None

    def _here(self, answer: Answer) -> Members:
        """Return which of the dataset's patients are in an answered cohort."""
        bits = np.unpackbits(answer.members.view(np.uint8), bitorder="little")
        wide = np.zeros(max(bits.size, self._places), dtype=np.bool_)
        wide[: bits.size] = bits
        return wide[self._positions]

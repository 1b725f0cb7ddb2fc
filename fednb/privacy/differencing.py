"""The differencing ledger as mathematics: sets of patients, and what they may ask for.

Two cohorts that differ by a few patients give those patients away by subtraction, even
where each cohort may be answered by itself. Where a cohort differs from an earlier
answered one of the same statistic by fewer patients than the threshold, it gets the
earlier answer back, byte for byte (rule 12): a refusal would itself say that it differs
by few. The same cohort thus has the same rounded count in every table (rule 5).

A set is a row of bits, one a patient of the site, in words of 64. What is kept is what
leaves before it is summed: the rounded count, the rounded mean with its histogram. A
secure sum hides that under the masks of its own call, so that the same answer is never
masked twice alike and the earlier one still goes into the new total.

Limits: pairs of cohorts are compared, not three and more; for those, rounding is the
only wall. No rule draws noise, so that rule 13 (noise is fixed) has nothing to act on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from fednb.privacy.rules import DIFFERENCING, PARTICIPANT_SETS, Safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.outputs import Decision

    Words = NDArray[np.uint64]
    Members = NDArray[np.bool_]

T = TypeVar("T")

MAX_ANSWERS: Final = 20_000
"""Answers that a site keeps for one statistic; further cohorts are suppressed."""

LEAST_SITES: Final = 3
"""By how many sites two answered sets of participants differ, if they do (rule 11)."""

_BITS: Final = 64


def check_difference(
    patients: int | None, profile: Profile, as_of: float = 0.0
) -> Decision:
    """Rule 12: say whether a cohort may be answered afresh.

    Parameters
    ----------
    patients
        Size of the symmetric difference with the nearest earlier cohort of the same
        statistic; None where there is none.
    profile
        Gives the threshold.
    as_of
        When that cohort was answered, in Unix seconds; 0: within this call.

    Returns
    -------
    decision
        A denial means that the earlier answer is returned in place of a fresh one.
    """
    if patients is None:
        reason = "no earlier cohort is near: answered afresh"
        return DIFFERENCING.decide(reason, profile, allow=True)
    allow = patients >= profile.threshold
    when = "this call"
    if as_of:
        when = f"{datetime.fromtimestamp(as_of, UTC):%Y-%m-%d %H:%M} UTC"
    what = "answered afresh" if allow else f"its answer as of {when} is returned"
    reason = f"an earlier cohort differs by {patients} patients: {what}"
    return DIFFERENCING.decide(reason, profile, allow=allow)


def check_participants(
    asked: Iterable[str], answered: Iterable[Iterable[str]], profile: Profile
) -> Decision:
    """Rule 11: refuse participants of which one or two could be subtracted.

    Parameters
    ----------
    asked
        Sites behind the sum that is asked for, as the contract binds them.
    answered
        The sets of sites behind earlier sums of the same statistic.
    profile
        The open profile hides no parts.
    """
    wanted = frozenset(asked)
    for earlier in map(frozenset, answered):
        differ = sorted(wanted ^ earlier)
        if 0 < len(differ) < LEAST_SITES and not profile.exact:
            reason = (
                f"This statistic was summed over {', '.join(sorted(earlier))}; the set "
                f"asked for differs by {', '.join(differ)} alone, whose part would "
                f"show. Ask the same sites, or at least {LEAST_SITES} others."
            )
            return PARTICIPANT_SETS.decide(reason, profile, allow=False)
    reason = f"{len(wanted)} sites, none of which can be subtracted"
    return PARTICIPANT_SETS.decide(reason, profile, allow=True)


def pack_members(members: Members) -> Words:
    """Return a set as bits in words of 64, shape (ceil(n / 64),)."""
    bits = np.packbits(members, bitorder="little")
    words = np.zeros(-(-members.size // _BITS), dtype="<u8")
    words.view(np.uint8)[: bits.size] = bits
    return words


def distance(first: Words, second: Words) -> int:
    """Return the size of the symmetric difference of two sets of any lengths."""
    width = max(first.size, second.size)
    return int(np.bitwise_count(_widened(first, width) ^ _widened(second, width)).sum())


def _widened(words: Words, width: int) -> Words:
    if words.size == width:
        return words
    wide = np.zeros(width, dtype="<u8")
    wide[: words.size] = words
    return wide


@dataclass(frozen=True, eq=False)
class Answer:
    """What a cohort was answered.

    Parameters
    ----------
    statistic
        What was computed: two answers of one statistic can be subtracted.
    cell
        Which question the cohort belongs to, for example ``"idh=1&sex=F"``.
    members
        The patients; private.
    size
        Their number; private.
    value
        The rounded value as canonical bytes; empty: suppressed.
    threshold
        That held.
    time
        When it was stored, in Unix seconds; 0 until then.
    """

    statistic: str
    cell: str
    members: Words
    size: int
    value: bytes
    threshold: int
    time: float = 0.0


@dataclass
class Series:
    """Answers of one statistic, in the order in which they were given."""

    answers: list[Answer] = field(default_factory=list)
    _sizes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(16, np.int64))
    _sets: NDArray[np.uint64] = field(default_factory=lambda: np.zeros((16, 1), "<u8"))

    def add(self, answer: Answer) -> None:
        """Append an answer."""
        count, width = len(self.answers), answer.members.size
        rows, held = self._sets.shape
        if count == rows or width > held:
            more = (rows if count == rows else 0, max(width - held, 0))
            self._sets = np.pad(self._sets, ((0, more[0]), (0, more[1])))
            self._sizes = np.pad(self._sizes, (0, more[0]))
        self._sets[count] = 0
        self._sets[count, :width] = answer.members
        self._sizes[count] = answer.size
        self.answers.append(answer)

    def near(self, members: Words, size: int, reach: int) -> list[tuple[int, Answer]]:
        """Return the answers whose cohorts differ by less than `reach`, oldest first.

        Parameters
        ----------
        members, size
            The cohort.
        reach
            In patients.

        Returns
        -------
        found
            Size of the symmetric difference, and the answer.
        """
        close = np.abs(self._sizes[: len(self.answers)] - size) < reach
        rows = np.flatnonzero(close)
        if not rows.size:
            return []
        width = max(self._sets.shape[1], members.size)
        sets = self._sets[rows]
        if width > sets.shape[1]:
            sets = np.pad(sets, ((0, 0), (0, width - sets.shape[1])))
        apart = np.bitwise_count(sets ^ _widened(members, width)).sum(axis=1)
        return [
            (int(apart[i]), self.answers[row])
            for i, row in enumerate(rows.tolist())
            if apart[i] < reach
        ]


class Book:
    """The answers that one call may lean on, and those that it adds.

    Parameters
    ----------
    profile
        Of the contract. The open profile keeps no book: exact values leave.
    positions
        Place of each of the dataset's patients in the site's sets, shape (patients,).
    earlier
        Answers of earlier calls by statistic; read only.

    Notes
    -----
    An answer for the same cell binds in any case. That of another cell binds where both
    hold the threshold: the sets can be subtracted, whatever they were asked for. A cell
    that was suppressed under a higher threshold may be answered under a lower one.
    """

    def __init__(
        self,
        profile: Profile,
        positions: NDArray[np.int64],
        earlier: Mapping[str, Series] | None = None,
    ) -> None:
        self._profile = profile
        self._positions = positions
        self._places = int(positions.max(initial=-1)) + 1
        # at a site with one dataset, its patients are the site's, in order
        self._in_order = np.array_equal(positions, np.arange(self._places))
        self._earlier = earlier or {}
        self._added: dict[str, Series] = {}

    @classmethod
    def blank(cls, profile: Profile, patients: int) -> Book:
        """Return a book without earlier answers."""
        return cls(profile, np.arange(patients))

    @property
    def added(self) -> tuple[Answer, ...]:
        """Answers of this call: to be stored with its release, or not at all."""
        return tuple(a for series in self._added.values() for a in series.answers)

    def settle(
        self,
        question: tuple[str, str],
        members: Members,
        fresh: Callable[[], Safe[T]],
        kind: type[T],
    ) -> Safe[T]:
        """Return the earlier answer of a near cohort, or a fresh one (rule 12).

        Parameters
        ----------
        question
            Statistic and cell.
        members
            Which of the dataset's patients are in the cohort, shape (patients,).
        fresh
            Computes the safe value from the data.
        kind
            Type of the value.
        """
        if self._profile.exact:
            return fresh()
        cohort, size = self._cohort(members)
        found = self._nearest(question, cohort, size)
        if found is not None:
            return self._again(*found, kind)
        decision = check_difference(None, self._profile)
        known = self._earlier.get(question[0], Series()).answers
        if len(known) >= MAX_ANSWERS:
            reason = f"the ledger holds {len(known)} cohorts of {question[0]}; no more"
            full = DIFFERENCING.decide(reason, self._profile, allow=False)
            return Safe(None, (full,))
        safe = fresh()
        self._add(question, cohort, size, _encoded(safe.value))
        return Safe(safe.value, (decision, *safe.decisions))

    def known(
        self, question: tuple[str, str], members: Members, kind: type[T]
    ) -> T | None:
        """Return what a cohort was answered, or would be by rule 12; adds nothing.

        Parameters
        ----------
        question, members, kind
            As for `settle`.
        """
        if self._profile.exact:
            return None
        found = self._nearest(question, *self._cohort(members))
        return self._again(*found, kind).value if found else None

    def is_new(self, question: tuple[str, str]) -> bool:
        """Whether this call answered a cell afresh; `question` as for `settle`."""
        statistic, cell = question
        added = self._added.get(statistic, Series()).answers
        return any(answer.cell == cell and answer.value for answer in added)

    def withhold(self, question: tuple[str, str]) -> bool:
        """Suppress an answer that this call added; return whether there was one.

        Parameters
        ----------
        question
            As for `settle`.
        """
        statistic, cell = question
        series = self._added.get(statistic, Series())
        for row, answer in enumerate(series.answers):
            if answer.cell == cell:
                series.answers[row] = replace(answer, value=b"")
                return True
        return False

    def _cohort(self, members: Members) -> tuple[Words, int]:
        bits = members
        if not self._in_order:
            bits = np.zeros(self._places, dtype=np.bool_)
            bits[self._positions[members]] = True
        return pack_members(bits), int(np.count_nonzero(members))

    def _nearest(
        self, question: tuple[str, str], cohort: Words, size: int
    ) -> tuple[int, Answer] | None:
        """Return the answer that binds, and by how much its cohort differs."""
        least = self._profile.threshold
        statistic, cell = question
        found: list[tuple[int, Answer]] = []
        for known in (self._earlier, self._added):
            if statistic in known:
                found += known[statistic].near(cohort, size, least)
        binding = [
            (apart, answer)
            for apart, answer in found
            if (bool(answer.value) or answer.threshold <= least)
            and (answer.cell == cell or (bool(answer.value) and size >= least))
        ]
        # the order of `found` is that of time, and `min` keeps the first of equals
        return min(binding, key=lambda f: (f[1].cell != cell, f[0] > 0), default=None)

    def _again(self, apart: int, answer: Answer, kind: type[T]) -> Safe[T]:
        decisions = (check_difference(apart, self._profile, answer.time),)
        # a looser profile answered below this one's threshold: a job may tighten
        too_few = answer.size < self._profile.threshold
        if not answer.value or too_few:
            return Safe(None, decisions)
        return Safe(msgspec.msgpack.decode(answer.value, type=kind), decisions)

    def _add(
        self, question: tuple[str, str], cohort: Words, size: int, value: bytes
    ) -> None:
        least = self._profile.threshold
        answer = Answer(*question, cohort, size, value, least)
        self._added.setdefault(question[0], Series()).add(answer)


def _encoded(value: object) -> bytes:
    return b"" if value is None else msgspec.msgpack.encode(value)

"""Statistics that were answered before: the same question, table and book.

What leaves is a pure function of these (disclosure rule 12 returns earlier answers), so
that it need not be worked out again for every look at a notebook's cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fednb.records.base import canonical
from fednb.site.tasks.statistics import statistics
from fednb.site.tasks.table import PATIENT, load_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fednb.privacy.differencing import Book
    from fednb.privacy.profiles import Profile
    from fednb.privacy.tables import StatisticsLayout
    from fednb.records.datasets import Manifest
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.site.tasks.table import Values

    Answer = tuple[NDArray[np.float64], tuple[Decision, ...]]

_KEPT: Final = 32


@dataclass(frozen=True)
class _Kept:
    rows: Values
    manifest: Manifest
    answer: Answer


@dataclass
class AnsweredTables:
    """The last tables of one site that added nothing to its book."""

    _kept: dict[tuple[object, ...], _Kept] = field(default_factory=dict)

    def statistics(
        self,
        job: Job,
        profile: Profile,
        layout: StatisticsLayout,
        book: Book | None,
        last: int,
    ) -> Answer:
        """Return what `fednb.site.tasks.statistics.statistics` does.

        Parameters
        ----------
        job, profile, layout, book
            As there.
        last
            Number of the last answer that the book knows; another one makes another
            book.
        """
        # a table that changed on disk is read anew, into other arrays
        rows = load_table(job.table, job.manifest.columns)[PATIENT]
        columns = tuple(canonical(column) for column in job.columns)
        key = (canonical(job.plan), columns, profile.name, last)
        known = self._kept.get(key)
        if known and known.rows is rows and known.manifest is job.manifest:
            vector, decisions = known.answer
            return vector.copy(), decisions
        answer = statistics(job, profile, layout, book)
        if book is None or not book.added:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = _Kept(rows, job.manifest, answer)
        return answer[0].copy(), answer[1]

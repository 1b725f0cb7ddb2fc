"""Exits by interval: what every curve and every test between groups is made of.

Times are replaced by the ends of intervals first. A patient who leaves within an
interval is at risk in the whole of it, and deaths come before censorings, as in an
ordinary curve of times that are rounded up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError
from fednb.survival.rows import read_vector

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class IntervalCounts:
    """Patients by group and interval; counts of disjoint sites add up.

    Parameters
    ----------
    ends
        End of each interval, ascending, shape (J,); the first one begins at 0.
    patients
        In each group, shape (G,).
    at_risk
        At some time in the interval, shape (G, J).
    deaths
        Leaving in it, by cause, shape (C, G, J).
    exits
        Leaving in it for any reason, shape (G, J).
    """

    ends: Floats
    patients: Ints
    at_risk: Ints
    deaths: Ints
    exits: Ints


@dataclass(frozen=True, eq=False)
class SurvivalRows:
    """One row a patient, complete and checked.

    Parameters
    ----------
    time
        Of exit, shape (n,), at least 0.
    cause
        0 for censored, then causes from 1, shape (n,).
    group
        From 0; negative: in no group, left out. Shape (n,).
    entry
        Left truncation times before the exits, shape (n,), or None.
    """

    time: Floats
    cause: Ints
    group: Ints
    entry: Floats | None = None

    @classmethod
    def of(
        cls,
        time: npt.ArrayLike,
        cause: npt.ArrayLike,
        group: npt.ArrayLike | None = None,
        entry: npt.ArrayLike | None = None,
    ) -> SurvivalRows:
        """Check columns.

        Raises
        ------
        InputError
            Shapes differ, a value is not finite, a time is negative, a cause or group
            is not whole, or an entry is not before its exit.
        """
        times = read_vector("survival times", time, np.size(time))
        n = times.size
        causes = read_vector("causes", cause, n)
        groups = read_vector("groups", np.zeros(n) if group is None else group, n)
        entries = None if entry is None else read_vector("entry times", entry, n)
        negative = int((times < 0).sum())
        if negative:
            message = (
                f"{negative} survival times are negative; time runs from 0. Correct "
                "the dates that they come from."
            )
            raise InputError(message)
        if (causes != np.rint(causes)).any() or (groups != np.rint(groups)).any():
            message = "Causes and groups must be whole numbers; recode the columns."
            raise InputError(message)
        late = 0 if entries is None else int((entries >= times).sum())
        if late:
            message = f"{late} patients enter at or after their exit time; drop them."
            raise InputError(message)
        return cls(times, causes.astype(np.intp), groups.astype(np.intp), entries)

    def take(self, kept: npt.NDArray[np.bool_]) -> SurvivalRows:
        """Return the rows at which `kept`, shape (n,), is true."""
        entry = None if self.entry is None else self.entry[kept]
        return SurvivalRows(self.time[kept], self.cause[kept], self.group[kept], entry)


def check_ends(ends: npt.ArrayLike) -> Floats:
    """Return ends of intervals.

    Raises
    ------
    InputError
        There are none, or they do not ascend from above 0.
    """
    found = np.asarray(ends, dtype=np.float64)
    ascends = found.ndim == 1 and found.size and np.isfinite(found).all()
    if not ascends or found[0] <= 0 or (np.diff(found) <= 0).any():
        message = (
            "Intervals end at one or more times that ascend strictly from above 0."
        )
        raise InputError(message)
    return found


def interval_counts(
    rows: SurvivalRows, ends: npt.ArrayLike, *, groups: int = 1, causes: int = 1
) -> IntervalCounts:
    """Count exits and patients at risk.

    Parameters
    ----------
    rows
        Of patients.
    ends
        Of the intervals, ascending, shape (J,). A time on an end belongs to the
        interval before it, time 0 to the first. Who stays beyond the last end is at
        risk throughout; who enters within an interval is at risk in all of it.
    groups, causes
        How many there are; patients of other groups are left out, other causes are
        censorings.

    Raises
    ------
    InputError
        The ends do not ascend from above 0.
    """
    edges = check_ends(ends)
    rows = rows.take((rows.group >= 0) & (rows.group < groups))
    steps = edges.size
    leaves = np.searchsorted(edges, rows.time, side="left")
    shape = (groups, steps + 1)
    exits = np.zeros(shape, dtype=np.intp)
    np.add.at(exits, (rows.group, leaves), 1)
    enters = np.zeros(shape, dtype=np.intp)
    first = np.zeros(leaves.size, dtype=np.intp)
    if rows.entry is not None:
        first = np.searchsorted(edges, rows.entry, side="right")
    np.add.at(enters, (rows.group, first), 1)
    died = (rows.cause >= 1) & (rows.cause <= causes)
    deaths = np.zeros((causes, *shape), dtype=np.intp)
    where = (rows.cause[died] - 1, rows.group[died], leaves[died])
    np.add.at(deaths, where, 1)
    gone = np.cumsum(exits, axis=1) - exits
    at_risk = np.cumsum(enters, axis=1) - gone
    return IntervalCounts(
        edges,
        exits.sum(axis=1),
        at_risk[:, :steps],
        deaths[:, :, :steps],
        exits[:, :steps],
    )

"""Episode splitting: effects that are constant within intervals of time.

A patient's follow-up is split where an effect changes; each episode is at risk from its
start (left truncation), and only the last one may end in death. The partial likelihood
of the episodes is that of step functions b(t) (Therneau and Grambsch 2000, section
6.4). Sites split by themselves: the sums that leave have the size of any other fit's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.records.formula import term_text
from fednb.records.time_varying import ALWAYS, window_text, windows
from fednb.survival.formula import Terms
from fednb.survival.grid import Survival

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from fednb.records.time_varying import Window
    from fednb.survival.sums import Floats

    Members = npt.NDArray[np.bool_]

_BEFORE = -1.0
"""Entry of those who are at risk from the start, a death at time 0 included."""


@dataclass(frozen=True)
class Steps:
    """Which columns of a design act when; empty where no effect changes.

    Attributes
    ----------
    source
        Column without steps that each column repeats.
    windows
        When each column acts.
    names
        Of the columns.
    """

    source: tuple[int, ...] = ()
    windows: tuple[Window, ...] = ()
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.windows)

    def only(self, kept: Sequence[int]) -> Steps:
        """Return some of the columns."""
        return Steps(
            tuple(self.source[j] for j in kept),
            self.taken(kept),
            tuple(self.names[j] for j in kept),
        )

    def taken(self, kept: Sequence[int]) -> tuple[Window, ...]:
        """Return the windows of some columns."""
        return tuple(self.windows[j] for j in kept)


def steps_of(
    names: Sequence[str], terms: Terms, cuts: Mapping[str, tuple[float, ...]]
) -> Steps:
    """Return the columns of a design of which some effects change with time.

    Parameters
    ----------
    names
        Columns without steps: those of an embedding, then those of `terms`.
    terms
        The covariates.
    cuts
        When the effect of a term changes, by its text.
    """
    if not cuts:
        return Steps()
    found: list[tuple[int, Window, str]] = []
    first = len(names) - len(terms.names())
    found += [(j, ALWAYS, names[j]) for j in range(first)]
    for term in terms.terms:
        times = cuts.get(term_text(term), ())
        for name in Terms((term,), terms.columns, terms.levels).names():
            found += [
                (first, window, f"{name}:{window_text(window)}" if times else name)
                for window in windows(times)
            ]
            first += 1
    source, spans, labels = zip(*found, strict=True)
    return Steps(source, spans, labels)


def observed(spans: Sequence[Window], survival: Survival) -> Members:
    """Return whether each patient is at risk at some time of each window, (n, q)."""
    time, entry = np.asarray(survival.time), _entry(survival)
    found = [
        ((time > start) | (start == 0)) & (entry < end if math.isfinite(end) else True)
        for start, end in spans
    ]
    return np.column_stack(found)


def leaving(spans: Sequence[Window], survival: Survival) -> Members:
    """Return whether each patient leaves within each window, shape (n, q)."""
    time = np.asarray(survival.time)
    within = observed(spans, survival)
    return np.asarray(within & (time[:, None] <= np.array([end for _, end in spans])))


def split(
    z: Floats, spans: Sequence[Window], survival: Survival
) -> tuple[Floats, Survival]:
    """Return the episodes of some patients.

    Parameters
    ----------
    z
        Standardised columns, shape (n, q).
    spans
        When each column acts, q of them.
    survival
        Follow-up, n patients.

    Returns
    -------
    z
        A row an episode; 0 in columns that do not act in it. What a column is centred
        at does not matter: it acts for all at risk or for none.
    survival
        Entries and exits of the episodes; weights and strata of their patients.
    """
    cuts = sorted({start for start, _ in spans})
    time, event = np.asarray(survival.time), np.asarray(survival.event)
    entry = _entry(survival)
    columns, parts, rows = [], [], []
    for start, end in windows(cuts[1:]):
        inside = np.flatnonzero(observed([(start, end)], survival)[:, 0])
        acts = np.array([a <= start and end <= b for a, b in spans])
        rows.append(inside)
        columns.append(np.where(acts, z[inside], 0.0))
        parts.append(
            (
                np.maximum(entry[inside], start if start else _BEFORE),
                np.minimum(time[inside], end),
                np.where(time[inside] <= end, event[inside], 0.0),
            )
        )
    patient = np.concatenate(rows)
    begins, ends, died = (np.concatenate(part) for part in zip(*parts, strict=True))
    weights, strata = _of(survival.weights, patient), _of(survival.strata, patient)
    return np.concatenate(columns), Survival(ends, died, begins, weights, strata)


def _entry(survival: Survival) -> Floats:
    if survival.entry is None:
        return np.full(np.size(survival.time), _BEFORE)
    return np.asarray(survival.entry, dtype=np.float64)


def _of(values: npt.ArrayLike | None, rows: npt.NDArray[np.intp]) -> Floats | None:
    return None if values is None else np.asarray(values, dtype=np.float64)[rows]

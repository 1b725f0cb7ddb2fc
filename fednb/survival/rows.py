"""The columns of a survival table, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from fednb.survival.sums import Floats

    Ints = npt.NDArray[np.intp]


class Rows(NamedTuple):
    """Checked columns of a survival table, a row a patient; each of shape (n,).

    Parameters
    ----------
    time
        Exit times.
    event
        Whether the exit is a death.
    entry
        Left truncation times, or None.
    weights
        Positive case weights.
    strata
        Integer codes.
    """

    time: Floats
    event: npt.NDArray[np.bool_]
    entry: Floats | None
    weights: Floats
    strata: Ints

    def take(self, order: Ints) -> Rows:
        """Return the rows at ``order``.

        Parameters
        ----------
        order
            Row numbers.
        """
        return Rows(
            self.time[order],
            self.event[order],
            None if self.entry is None else self.entry[order],
            self.weights[order],
            self.strata[order],
        )


def read_vector(name: str, values: npt.ArrayLike, n: int) -> Floats:
    """Read a finite column.

    Parameters
    ----------
    name
        What the column holds, in the plural, for the message.
    values
        The column.
    n
        Number of patients.

    Raises
    ------
    InputError
        If the shape is not (n,) or a value is not finite.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (n,) or not np.isfinite(vector).all():
        message = (
            f"The {name} have shape {vector.shape}; {n} finite numbers are needed, "
            "one a patient."
        )
        raise InputError(message)
    return vector


def check_rows(
    n: int,
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    entry: npt.ArrayLike | None,
    weights: npt.ArrayLike | None,
    strata: npt.ArrayLike | None,
) -> Rows:
    """Check a survival table.

    Parameters
    ----------
    n
        Number of patients.
    time, event, entry, weights, strata
        As for `fednb.survival.riskset.RiskSets`.

    Returns
    -------
    Rows
        The same columns with fixed types; weights and strata filled in.

    Raises
    ------
    InputError
        If a column does not hold what it should.
    """
    times = read_vector("exit times", time, n)
    events = read_vector("events", event, n)
    if not np.isin(events, (0.0, 1.0)).all():
        message = "Events must be 0 (censored) or 1 (died); recode the column."
        raise InputError(message)
    entries = None if entry is None else read_vector("entry times", entry, n)
    if entries is not None and (entries >= times).any():
        late = int((entries >= times).sum())
        message = f"{late} patients enter at or after their exit time; drop them."
        raise InputError(message)
    case_weights = np.ones(n) if weights is None else read_vector("weights", weights, n)
    if (case_weights <= 0).any():
        message = "Weights must be positive; drop patients of weight 0."
        raise InputError(message)
    codes = np.zeros(n) if strata is None else read_vector("strata", strata, n)
    if (codes != np.rint(codes)).any():
        message = "Strata must be integer codes."
        raise InputError(message)
    return Rows(
        times, events.astype(bool), entries, case_weights, codes.astype(np.intp)
    )

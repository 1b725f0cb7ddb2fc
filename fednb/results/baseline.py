"""The baseline hazard of a Cox result, on the grid of its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Baseline:
    """Cumulative baseline hazards of the patient at the covariates' means.

    Attributes
    ----------
    ends
        Ends of the intervals, J of them.
    breslow, efron
        Cumulative hazards, shape (strata, J).
    strata, levels, labels
        Columns that define strata, their labels, and each stratum in words; one
        nameless stratum where there are none.
    """

    ends: tuple[float, ...]
    breslow: Floats
    efron: Floats
    strata: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    labels: tuple[str, ...] = ("",)

    def hazard(self, ties: str) -> Floats:
        """Return the cumulative hazards by ``"breslow"`` or ``"efron"``.

        Raises
        ------
        UnknownNameError
            Other ties.
        """
        known = {"breslow": self.breslow, "efron": self.efron}
        if ties not in known:
            raise UnknownNameError("ties", ties, known)
        return known[ties]

    def at(self, times: Sequence[float] | None, ties: str) -> tuple[Floats, Floats]:
        """Return times and the cumulative hazards there, shape (strata, times).

        Parameters
        ----------
        times
            At least 0 and at most the last end; None: the ends. The hazard is a step
            function that rises at the ends.
        ties
            As for `hazard`.

        Raises
        ------
        InputError
            A time is negative or beyond the last end: nothing is known there.
        """
        hazard = self.hazard(ties)
        ends = np.asarray(self.ends)
        if times is None:
            return ends, hazard
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        if not ((wanted >= 0) & (wanted <= ends[-1])).all():
            message = (
                f"The baseline hazard is known from 0 to {ends[-1]:g}; got times from "
                f"{wanted.min():g} to {wanted.max():g}."
            )
            raise InputError(message)
        with_start = np.concatenate([np.zeros((len(hazard), 1)), hazard], axis=1)
        return wanted, with_start[:, np.searchsorted(ends, wanted, side="right")]

    def stratum(self, rows: object, n: int) -> NDArray[np.intp]:
        """Return each row's stratum by number, shape (n,).

        Raises
        ------
        InputError
            The rows are no table, though strata need its columns.
        UnknownNameError
            A column is missing, or a label has no baseline.
        """
        found = np.zeros(n, dtype=np.intp)
        for name, levels in zip(self.strata, self.levels, strict=True):
            columns = getattr(rows, "columns", None)
            if columns is None:
                message = f"Strata need a table with the column {name!r}, not an array."
                raise InputError(message)
            if name not in columns:
                raise UnknownNameError("column", name, map(str, columns))
            labels = [_label(value) for value in rows[name]]  # type: ignore[index]
            for label in labels:
                if label not in levels:
                    raise UnknownNameError("level", label, levels)
            codes = [levels.index(label) for label in labels]
            found = found * len(levels) + np.asarray(codes, dtype=np.intp)
        return found

    def to_frame(self, ties: str, name: str) -> pd.DataFrame:
        """Return cumulative hazards by time, one column a stratum."""
        import pandas as pd

        columns = [name] if not self.strata else list(self.labels)
        return pd.DataFrame(
            self.hazard(ties).T, index=pd.Index(self.ends), columns=columns
        )

    def steps(self, ties: str) -> Floats:
        """Return hazards by interval, shape (strata, J)."""
        hazard = self.hazard(ties)
        return np.diff(hazard, axis=1, prepend=np.zeros((len(hazard), 1)))


def _label(value: object) -> str:
    """Return a label as tables write it: binaries are 0 and 1 in any type."""
    if isinstance(value, bool | int | float | np.number | np.bool_):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    return str(value)

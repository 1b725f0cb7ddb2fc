"""Rows that the caller owns, as the columns of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from fednb.survival.formula import Terms

    Floats = NDArray[np.float64]


def design(
    frame: pd.DataFrame | Floats, names: Sequence[str], constant: str = ""
) -> tuple[Floats, pd.Index[int]]:
    """Return rows that the caller owns as a design matrix.

    Parameters
    ----------
    frame
        Table with a column a name, in any order; or an array of shape (n, p).
    names
        Columns of the design, p of them.
    constant
        Name of the column that is 1 where the table lacks it.

    Returns
    -------
    tuple
        Values of shape (n, p), and the index of the rows.

    Raises
    ------
    UnknownNameError
        The table lacks a column.
    InputError
        The array has another number of columns.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        values = np.asarray(frame, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(names):
            message = f"An array of shape {values.shape} needs {len(names)} columns."
            raise InputError(message)
        return values, pd.RangeIndex(len(values))
    columns = []
    for name in names:
        if name in frame.columns:
            columns.append(frame[name].to_numpy(dtype=np.float64))
        elif name == constant:
            columns.append(np.ones(len(frame)))
        else:
            raise UnknownNameError("column", name, map(str, frame.columns))
    return np.column_stack(columns), frame.index


def expanded(rows: pd.DataFrame, terms: Terms) -> pd.DataFrame:
    """Return a table with the columns of its terms, beside its own.

    Parameters
    ----------
    rows
        With the columns that the terms name; labels in any type, numbers not clipped.
    terms
        Of a fit.

    Raises
    ------
    UnknownNameError
        A column is missing, or a label is none of the fit's levels.
    """
    import pandas as pd

    table: dict[str, NDArray[np.generic]] = {}
    for name, column in terms.columns.items():
        if name not in rows.columns:
            raise UnknownNameError("column", name, map(str, rows.columns))
        table[name] = _values(rows[name], column.kind == "category")
        for label in set(table[name].tolist()) if name in terms.levels else ():
            text = label if isinstance(label, str) else f"{label:g}"
            if text not in terms.levels[name]:
                raise UnknownNameError("level", text, terms.levels[name])
    values = terms.build(table, len(rows))
    made = pd.DataFrame(values, index=rows.index, columns=list(terms.names()))
    kept = [name for name in rows.columns if name not in made.columns]
    return pd.concat([rows[kept], made], axis=1)


def _values(column: pd.Series, labels: bool) -> NDArray[np.generic]:  # noqa: FBT001
    """Return a column as sites read it: text of labels, numbers of all else."""
    values = column.to_numpy()
    return values.astype(np.str_) if labels else values.astype(np.float64)

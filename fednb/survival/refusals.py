"""Words for the fits that are refused: which columns, and what to do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError
from fednb.survival.cholesky import dependent_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.survival.sums import Floats, LikelihoodSums


def label(column: int, names: Sequence[str]) -> str:
    """Name a column.

    Parameters
    ----------
    column
        Its number, from 0.
    names
        All names, or empty where they are not known.
    """
    return repr(names[column]) if names else f"column {column}"


def rank_message(matrix: Floats, names: Sequence[str], *, rounded: bool = False) -> str:
    """Say which columns make the information matrix singular.

    Parameters
    ----------
    matrix
        Penalised information, shape (p, p).
    names
        Column names, or empty.
    rounded
        Whether the totals are (disclosure rule 20), which hides a small spread.
    """
    columns = ", ".join(label(j, names) for j in dependent_columns(matrix))
    found = (
        f"The information matrix is rank-deficient: {columns} have no spread of their "
        "own (constant, or a combination of each other)"
    )
    if rounded:
        found += ", or one that the rounding of the totals hides (much alike)"
        return f"{found}. Drop one of them, take fewer knots, or add a ridge penalty."
    return f"{found}. Drop one of them or add a ridge penalty."


def separation_message(
    step: Floats, information: Floats, evaluations: int, names: Sequence[str]
) -> str:
    """Say which coefficients diverge.

    Parameters
    ----------
    step
        Last step, shape (p,).
    information
        At the starting value, shape (p, p); gives the columns a common unit.
    evaluations
        Evaluations used so far.
    names
        Column names, or empty.
    """
    moved = np.abs(step) * np.sqrt(np.maximum(np.diagonal(information), 0.0))
    diverging = np.flatnonzero(moved >= 0.3 * moved.max())
    columns = ", ".join(label(int(j), names) for j in diverging)
    return (
        f"The outcome is separated: the coefficients of {columns} grow without bound "
        f"while the information vanishes (evaluation {evaluations}). Drop or merge "
        "these columns, or add a ridge penalty."
    )


def check_first(sums: LikelihoodSums) -> None:
    """Refuse sums at the starting value from which no fit can begin.

    Parameters
    ----------
    sums
        Totals over all sites.

    Raises
    ------
    FitError
        They are not finite, or there are no events.
    """
    if not sums.is_finite:
        message = (
            "The sums at the starting value are not finite; check the covariates for "
            "extreme values and standardise them."
        )
        raise FitError(message)
    if sums.log_likelihood == 0 and not sums.to_vector().any():
        message = (
            "There are no events, so nothing can be fitted; choose another outcome or "
            "a longer follow-up. Where sites round, case weights far below the middle "
            "of their declared bounds look the same: ask for closer bounds."
        )
        raise FitError(message)

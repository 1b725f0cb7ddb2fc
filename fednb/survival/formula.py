"""Columns of a design from columns of a table: labels, interactions, splines.

Coding, as in R's ``model.matrix`` and lifelines' formulas: labels become one 0/1 column
a level but the first (treatment contrasts), named ``grade[T.4]``; an interaction is the
product of its factors' columns. Knots and bounds come from the contract, so that every
site builds the same columns from its rows, and none from its data.

Sources: de Boor 1978 (B-splines); Harrell, Regression Modeling Strategies, section 2.4
(natural, that is restricted, cubic splines).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import PlanError, UnknownNameError
from fednb.records.formula import Factor, Term, term_text, term_width
from fednb.survival.memory import matrix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fednb.records.datasets import Column
    from fednb.survival.sums import Floats

DEGREE = 3


@dataclass(frozen=True)
class Terms:
    """What a contract fixes about the covariates of a fit.

    Attributes
    ----------
    terms
        As read by `fednb.records.formula.parse`.
    columns
        Declarations of the columns that they use, by name.
    levels
        Labels by column, the reference first; of each column that holds labels.
    """

    terms: tuple[Term, ...]
    columns: Mapping[str, Column]
    levels: Mapping[str, tuple[str, ...]]

    def names(self) -> tuple[str, ...]:
        """Return the names of the design's columns in order."""
        found: list[str] = []
        for term in self.terms:
            labels = [""]
            for factor in term:
                labels = [
                    f"{left}:{right}" if left else right
                    for left in labels
                    for right in self._names(factor)
                ]
            found += labels
        return tuple(found)

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Return a public interval that holds every value, a column of the design."""
        found: list[tuple[float, float]] = []
        for term in self.terms:
            intervals = [(1.0, 1.0)]
            for factor in term:
                intervals = [
                    _times(left, right)
                    for left in intervals
                    for right in self._bounds(factor)
                ]
            found += intervals
        return tuple(found)

    def binary(self) -> tuple[bool, ...]:
        """Return, a column of the design, whether it holds 0 and 1 only."""
        found: list[bool] = []
        for term in self.terms:
            width, flags = 1, True
            for factor in term:
                width *= factor.width(self.levels)
                flags &= self._is_binary(factor)
            found += [flags] * width
        return tuple(found)

    def build(self, table: Mapping[str, NDArray[np.generic]], n: int) -> Floats:
        """Return the design of some rows.

        Parameters
        ----------
        table
            Columns of the table, each of shape (n,): numbers with NaN where missing,
            labels as text. Numbers are clipped to the declared bounds (rule 21).
        n
            Rows.

        Returns
        -------
        numpy.ndarray
            Shape (n, q), a column after the other in memory; NaN where a value is
            missing or a label is not a level.
        """
        widths = [term_width(term, self.levels) for term in self.terms]
        found = matrix(sum(widths), n).T
        first = 0
        for term, width in zip(self.terms, widths, strict=True):
            block = np.ones((n, 1))
            for factor in term:
                values = self._values(factor, table)
                wide = block.shape[1] * values.shape[1]
                block = (block[:, :, None] * values[:, None, :]).reshape(n, wide)
            found[:, first : first + width] = block
            first += width
        return found

    def _is_binary(self, factor: Factor) -> bool:
        if factor.kind in {"bs", "ns"}:
            return False
        kind = self.columns[factor.name].kind
        return factor.name in self.levels or kind == "binary"

    def _names(self, factor: Factor) -> list[str]:
        text = factor.text()
        if factor.kind in {"bs", "ns"}:
            return [f"{text}[{i}]" for i in range(1, factor.width(self.levels) + 1)]
        if factor.name in self.levels:
            return [f"{text}[T.{level}]" for level in self.levels[factor.name][1:]]
        return [factor.name]

    def _bounds(self, factor: Factor) -> list[tuple[float, float]]:
        low, high = column_bounds(self.columns[factor.name])
        if factor.kind == "ns":
            top = natural_spline(np.array([high]), factor.knots, low, high)[0, 1:]
            return [(low, high), *((0.0, float(value)) for value in top)]
        if factor.kind == "bs" or factor.name in self.levels:
            return [(0.0, 1.0)] * factor.width(self.levels)
        return [(low, high)]

    def _values(
        self, factor: Factor, table: Mapping[str, NDArray[np.generic]]
    ) -> Floats:
        if factor.name not in table:
            raise UnknownNameError("column", factor.name, table)
        raw = table[factor.name]
        column = self.columns[factor.name]
        if factor.name in self.levels and factor.kind not in {"bs", "ns"}:
            codes = level_codes(raw, column, self.levels[factor.name])
            hits = codes[:, None] == np.arange(1, len(self.levels[factor.name]))
            return np.where(codes[:, None] >= 0, hits.astype(np.float64), np.nan)
        low, high = column_bounds(column)
        values = np.clip(np.asarray(raw, dtype=np.float64), low, high)
        if factor.kind == "bs":
            return b_spline(values, factor.knots, low, high)
        if factor.kind == "ns":
            return natural_spline(values, factor.knots, low, high)
        return values[:, None]


def terms_of(
    terms: Sequence[Term],
    columns: Sequence[Column],
    levels: Mapping[str, tuple[str, ...]],
) -> Terms:
    """Return checked terms.

    Parameters
    ----------
    terms
        Of a plan.
    columns
        The contract's declarations.
    levels
        Labels by column, the reference first.

    Raises
    ------
    UnknownNameError
        A factor's column is not declared.
    PlanError
        Labels without levels, a knot outside the column's bounds, or an interaction of
        labels without the main effects that its coding needs.
    """
    declared = {column.name: column for column in columns}
    used: dict[str, Column] = {}
    for factor in (factor for term in terms for factor in term):
        if factor.name not in declared:
            raise UnknownNameError("covariate", factor.name, declared)
        used[factor.name] = declared[factor.name]
        _check_factor(factor, declared[factor.name], levels)
    given = {frozenset(term) for term in terms}
    for term in terms:
        for factor in term:
            rest = tuple(other for other in term if other != factor)
            if factor.name in levels and rest and frozenset(rest) not in given:
                message = (
                    f"The interaction {term_text(term)} is coded against the reference "
                    f"level of {factor.name!r}, which needs {term_text(rest)} in the "
                    f"fit too. Add it, or write {term_text(term).replace(':', ' * ')}."
                )
                raise PlanError(message)
    return Terms(tuple(terms), used, dict(levels))


def column_bounds(column: Column) -> tuple[float, float]:
    """Return the bounds to which values of a column are clipped (rule 21)."""
    return (0.0, 1.0) if column.kind == "binary" else (column.lower, column.upper)


def level_codes(
    values: NDArray[np.generic], column: Column, levels: Sequence[str]
) -> NDArray[np.int64]:
    """Return each row's level by number, -1 where it is missing or none of them.

    Parameters
    ----------
    values
        Text, or numbers of a binary column, shape (n,).
    column
        Its declaration.
    levels
        Labels in order.
    """
    found = np.full(len(values), -1, dtype=np.int64)
    text = column.kind == "category"
    labels = np.asarray(values, dtype=np.str_ if text else np.float64)
    for code, level in enumerate(levels):
        found[labels == (level if text else float(level))] = code
    return found


def b_spline(x: Floats, knots: Sequence[float], lower: float, upper: float) -> Floats:
    """Return cubic B-splines without the first: with an intercept they span all.

    Parameters
    ----------
    x
        Shape (n,); clipped to the bounds; NaN gives NaN.
    knots
        Inner knots, increasing, between the bounds.
    lower, upper
        Boundary knots.

    Returns
    -------
    numpy.ndarray
        Shape (n, len(knots) + 3), values in [0, 1].
    """
    ends = [lower] * (DEGREE + 1), [upper] * (DEGREE + 1)
    t = np.array([*ends[0], *knots, *ends[1]])
    clipped = np.clip(x, lower, upper)
    # the last interval is closed: the upper bound belongs to it
    cell = np.clip(np.searchsorted(t, clipped, side="right") - 1, DEGREE, t.size - 5)
    basis = (cell[:, None] == np.arange(t.size - 1)).astype(np.float64)
    for degree in range(1, DEGREE + 1):
        count = t.size - 1 - degree
        rise, fall = (
            t[degree : degree + count] - t[:count],
            t[degree + 1 :] - t[1:-degree],
        )
        up = np.divide(1.0, rise, out=np.zeros(count), where=rise > 0)
        down = np.divide(1.0, fall, out=np.zeros(count), where=fall > 0)
        basis = (
            basis[:, :count] * (clipped[:, None] - t[:count]) * up
            + basis[:, 1:] * (t[degree + 1 :] - clipped[:, None]) * down
        )
    return np.where(np.isnan(x)[:, None], np.nan, basis[:, 1:])


def natural_spline(
    x: Floats, knots: Sequence[float], lower: float, upper: float
) -> Floats:
    """Return natural cubic splines: cubic between the bounds, straight beyond them.

    Parameters
    ----------
    x
        Shape (n,); NaN gives NaN.
    knots
        Inner knots, increasing, between the bounds.
    lower, upper
        Boundary knots.

    Returns
    -------
    numpy.ndarray
        ``x`` itself, then one column an inner knot, in the unit of ``x``; shape
        (n, len(knots) + 1).
    """
    t = np.array([lower, *knots, upper])
    scale = (upper - lower) ** 2

    def cubic(knot: float) -> Floats:
        return np.asarray(np.maximum(x - knot, 0.0) ** 3)

    last, before = cubic(t[-1]), cubic(t[-2])
    gap = t[-1] - t[-2]
    columns = [x]
    for knot in t[:-2]:
        bent = cubic(knot) - before * (t[-1] - knot) / gap + last * (t[-2] - knot) / gap
        columns.append(bent / scale)
    return np.column_stack(columns)


def _check_factor(
    factor: Factor, column: Column, levels: Mapping[str, tuple[str, ...]]
) -> None:
    name = factor.name
    if factor.kind in {"bs", "ns"}:
        low, high = column_bounds(column)
        outside = [k for k in factor.knots if not low < k < high]
        if column.kind != "number" or outside:
            message = (
                f"{factor.text()}: splines need a number column and knots between its "
                f"bounds; {name!r} is a {column.kind} of {low:g} to {high:g}."
            )
            raise PlanError(message)
        return
    labelled = column.kind == "category" or factor.kind == "levels"
    if labelled and len(levels.get(name, ())) < 2:
        message = (
            f"Covariate {name!r} has {len(levels.get(name, ()))} levels; at least 2 "
            "are needed. Declared: "
            f"{', '.join(column.levels) or 'none; ask the owners to declare them'}."
        )
        raise PlanError(message)
    known = ("0", "1") if column.kind == "binary" else column.levels
    for level in levels.get(name, ()):
        if level not in known:
            raise UnknownNameError("level", level, known)


def _times(
    left: tuple[float, float], right: tuple[float, float]
) -> tuple[float, float]:
    corners = [a * b for a in left for b in right]
    return min(corners), max(corners)

"""The smoothest table that agrees with what may be shown of it.

Among all tables, the one of largest entropy that has given sums (Jaynes, Physical
Review 106:620, 1957). A sum that is known within its rounding is met within it, by a
ridge on the dual (Dudik, Phillips and Schapire, JMLR 8:1217, 2007), so that there is a
table also where rounded sums contradict each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_STEPS: Final = 60
_FITS: Final = 200
_CLOSE: Final = 1e-10
_LEAST_SLACK: Final = 1e-6
_MOST_TILT: Final = 8.0


def smoothest(features: Floats, targets: Floats, slack: Floats) -> Floats:
    """Return the distribution of largest entropy whose means are near `targets`.

    Parameters
    ----------
    features
        Values in each cell, shape (f, c), of order 1; f may be 0.
    targets
        Their means, shape (f,).
    slack
        Ridge on the dual, >= 0, shape (f,): the variance of each mean times
        the number of patients.

    Returns
    -------
    numpy.ndarray
        Shares that add up to 1, shape (c,).
    """
    ridge = np.maximum(slack, _LEAST_SLACK)
    theta = np.zeros(targets.size)
    share, value = _tilted(features, theta)
    for _ in range(_STEPS):
        means = features @ share
        slope = means - targets + ridge * theta
        curve = (features * share) @ features.T - np.outer(means, means)
        step = np.linalg.solve(curve + np.diag(ridge), slope)
        # Newton's decrement tells how far the dual is above its least value
        if float(slope @ step) < _CLOSE:
            break
        length = 1.0
        while True:
            trial = theta - length * step
            share, total = _tilted(features, trial)
            found = total + float(0.5 * (ridge * trial) @ trial - trial @ targets)
            if found <= value or length < _CLOSE:
                break
            length /= 2
        theta, value = trial, found
    return share


def _tilted(features: Floats, theta: Floats) -> tuple[Floats, float]:
    """Return the tilted distribution, and the logarithm of what it was divided by."""
    power = theta @ features
    top = float(power.max())
    mass = np.exp(power - top)
    total = float(mass.sum())
    return mass / total, float(np.log(total / mass.size)) + top


def coupled(rows: Floats, columns: Floats, correlation: float) -> Floats:
    """Return the smoothest table with given margins and a correlation.

    Its odds ratios are those of a normal distribution, ``exp(theta i j)``.

    Parameters
    ----------
    rows, columns
        Margins of one total, >= 0, shapes (r,) and (c,).
    correlation
        Of the row's number with the column's.

    Returns
    -------
    numpy.ndarray
        Shape (r, c): the rows' margin holds, the columns' as nearly as alternating
        fits come in so many steps, the correlation as far as margins allow.
    """
    total = float(rows.sum())
    table = np.outer(rows, columns)
    if total <= 0:
        return table
    along = np.outer(_standard(rows), _standard(columns))
    tilt = 0.0
    for _ in range(_FITS):
        table = _fitted(table, rows, columns)
        seen = float((along * table).sum()) / total
        spread = float((along**2 * table).sum()) / total - seen**2
        # a normal table of correlation 0 has spread 1; a narrow one would overshoot
        wanted = tilt + (correlation - seen) / max(spread, 0.1)
        wanted = float(np.clip(wanted, -_MOST_TILT, _MOST_TILT))
        apart = float(np.abs(table.sum(axis=0) - columns).max()) / total
        if max(apart, abs(wanted - tilt)) < _CLOSE:
            break
        table = table * np.exp(np.clip((wanted - tilt) * along, -50.0, 50.0))
        tilt = wanted
    return _fitted(table, rows, columns)


def _fitted(table: Floats, rows: Floats, columns: Floats) -> Floats:
    """Scale columns, then rows, to their margins (Deming and Stephan 1940)."""
    table = table * _ratio(columns, table.sum(axis=0))
    return np.asarray(table * _ratio(rows, table.sum(axis=1))[:, None])


def _standard(margin: Floats) -> Floats:
    """Return the numbers of the cells with mean 0 and variance 1."""
    number = np.arange(margin.size, dtype=np.float64)
    centred = number - float(number @ margin) / float(margin.sum())
    variance = float(centred**2 @ margin) / float(margin.sum())
    return np.asarray(centred / np.sqrt(variance) if variance > _CLOSE else centred * 0)


def _ratio(wanted: Floats, found: Floats) -> Floats:
    return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)

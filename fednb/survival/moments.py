"""Means and standard deviations of columns that stay at several sites.

Sums of squares are taken about a common shift so that a mean far from 0 does not drown
the spread; parts combine by the update of Chan, Golub and LeVeque 1983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import FitError, InputError
from fednb.survival.refusals import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from fednb.survival.sums import Floats


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Location and scale of each column over all sites.

    Parameters
    ----------
    mean
        Shape (p,).
    std
        With ddof 1, positive, shape (p,).
    n
        Patients.
    """

    mean: Floats
    std: Floats
    n: int

    def apply(self, x: npt.ArrayLike) -> Floats:
        """Standardise columns.

        Parameters
        ----------
        x
            Shape (n, p).

        Returns
        -------
        numpy.ndarray
            ``(x - mean) / std``, shape (n, p).
        """
        return np.asarray((np.asarray(x, dtype=np.float64) - self.mean) / self.std)


def column_moments(x: npt.ArrayLike, shift: npt.ArrayLike = 0.0) -> Floats:
    """Moments of one site's columns; the vectors of sites add up.

    Parameters
    ----------
    x
        Shape (n, p), finite.
    shift
        Public value near each column's mean, such as the middle of the contract's
        bounds; a number or shape (p,), the same at every site.

    Returns
    -------
    numpy.ndarray
        ``[n, sum of x - shift (p,), sum of (x - shift)^2 (p,)]``, shape (1 + 2 p,).

    Raises
    ------
    InputError
        If ``x`` is not a finite matrix.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        message = f"A finite matrix is needed; the shape seen is {values.shape}."
        raise InputError(message)
    centred = values - np.asarray(shift, dtype=np.float64)
    squares = np.einsum("ij,ij->j", centred, centred)
    return np.concatenate([[values.shape[0]], centred.sum(axis=0), squares])


def combine(
    moments: Sequence[Floats],
    shift: npt.ArrayLike = 0.0,
    names: Sequence[str] = (),
) -> Standardisation:
    """Pool the moments of sites, or read those of a secure sum.

    Parameters
    ----------
    moments
        Vectors of `column_moments`, at least one; a secure sum is one vector.
    shift
        The one used at the sites.
    names
        Columns, for messages; column numbers where empty.

    Raises
    ------
    FitError
        If there are fewer than two patients, or a column is constant.
    InputError
        If the vectors differ in length.
    """
    if not moments or len({part.shape for part in moments}) != 1:
        message = "Moments of one design, at least one vector, are needed."
        raise InputError(message)
    p = (moments[0].size - 1) // 2
    counts = [float(part[0]) for part in moments]
    n = sum(counts)
    if n < 2:
        labels = ", ".join(label(j, names) for j in range(p))
        message = (
            f"{n:g} patients count for {labels}; a standard deviation needs at least "
            "2. Leave it out, or choose other intervals."
        )
        raise FitError(message)
    count, mean, spread = 0.0, np.zeros(p), np.zeros(p)
    for part, size in zip(moments, counts, strict=True):
        if size == 0:
            continue
        here = part[1 : 1 + p] / size
        within = np.maximum(part[1 + p :] - size * here**2, 0.0)
        delta = here - mean
        spread += within + delta**2 * (count * size / (count + size))
        count += size
        mean += delta * (size / count)
    squares = np.sum([part[1 + p :] for part in moments], axis=0)
    flat = np.flatnonzero(spread <= 1e-12 * squares)
    if flat.size:
        labels = ", ".join(label(j, names) for j in flat.tolist())
        message = (
            f"Constant over all sites: {labels}. Leave it out of the design. Where "
            "sites round, bounds declared far beyond a column's values look the same: "
            "ask the owners for closer ones."
        )
        raise FitError(message)
    location = mean + np.asarray(shift, dtype=np.float64)
    return Standardisation(location, np.sqrt(spread / (n - 1)), round(n))

"""What rounding the sums (disclosure rule 20) costs the estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fednb.survival.newton import covariance

if TYPE_CHECKING:
    from fednb.survival.newton import NewtonOptions
    from fednb.survival.sums import Floats, LikelihoodSums


def rounding_covariance(
    sums: LikelihoodSums, options: NewtonOptions, beta: Floats | None = None
) -> Floats:
    """Covariance that rounding the score adds to the estimate (disclosure rule 20).

    Each of ``parts`` scores is off by a uniform error of variance precision^2 / 12, so
    the estimate is off by H^-1 times their sum: add this to the sampling covariance.

    Parameters
    ----------
    sums, options, beta
        As for `covariance`.

    Raises
    ------
    FitError
        As for `covariance`.
    """
    inverse = covariance(sums, options, beta)
    return (options.parts * options.precision**2 / 12) * (inverse @ inverse)


def variance_noise(inverse: Floats, options: NewtonOptions) -> Floats:
    """Return what rounding the information does to each variance, shape (p,).

    Each element of the information is off by a sum of uniform errors, E, and so its
    inverse by inverse E inverse, to first order. Next to nothing where columns differ;
    columns that are much alike have little information of their own, and the same
    rounding takes or gives a large share of it.

    Parameters
    ----------
    inverse
        Of the information, shape (p, p).
    options
        Those of the fit.

    Returns
    -------
    numpy.ndarray
        Standard deviation of the error of each variance, as a share of it; 0 where
        there is no variance.
    """
    step = options.precision * np.sqrt(options.parts / 12)
    squares = np.square(inverse).sum(axis=0)
    # E is symmetric: elements beside the diagonal count twice
    size = step * np.sqrt(2 * squares**2 - np.power(inverse, 4).sum(axis=0))
    own = np.diagonal(inverse)
    share = np.divide(size, own, out=np.zeros_like(size), where=own > 0)
    return np.asarray(share, dtype=np.float64)


def widened(covariance: Floats, noise: Floats) -> Floats:
    """Return a covariance whose variances hold two of their standard deviations more.

    Parameters
    ----------
    covariance
        Shape (p, p).
    noise
        Of `variance_noise`.
    """
    by = np.sqrt(1 + 2 * noise)
    return np.asarray(covariance * by[:, None] * by)

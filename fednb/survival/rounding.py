"""What rounding the sums (disclosure rule 20) costs the estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

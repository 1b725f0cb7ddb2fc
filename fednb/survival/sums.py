"""The sums of one evaluation: all that a likelihood fit needs from a site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def vector_length(p: int) -> int:
    """Length of the vector that carries the sums of ``p`` columns.

    Parameters
    ----------
    p
        Number of columns of the design, at least 1.

    Returns
    -------
    int
        ``p + p (p + 1) / 2 + 1``.
    """
    return p + p * (p + 1) // 2 + 1


@dataclass(frozen=True, eq=False)
class LikelihoodSums:
    """Score, information and log-likelihood at one coefficient vector.

    Sums over patients, so the sums of disjoint sites add up to those of the pooled
    data (for Cox, of the site-stratified partial likelihood).

    Parameters
    ----------
    score
        First derivative of the log-likelihood, shape (p,).
    information
        Negative second derivative, symmetric, shape (p, p).
    log_likelihood
        Natural logarithm, without any penalty.
    """

    score: Floats
    information: Floats
    log_likelihood: float

    @classmethod
    def zero(cls, p: int) -> Self:
        """Return the sums over nobody.

        Parameters
        ----------
        p
            Number of columns.
        """
        return cls(np.zeros(p), np.zeros((p, p)), 0.0)

    @property
    def is_finite(self) -> bool:
        """Whether no entry is infinite or not a number."""
        return bool(np.isfinite(self.to_vector()).all())

    def __add__(self, other: LikelihoodSums) -> LikelihoodSums:
        if self.score.shape != other.score.shape:
            message = (
                f"Sums of {self.score.size} and of {other.score.size} columns cannot "
                "be added: every site must use the design of the contract."
            )
            raise InputError(message)
        return LikelihoodSums(
            self.score + other.score,
            self.information + other.information,
            self.log_likelihood + other.log_likelihood,
        )

    def to_vector(self) -> Floats:
        """Lay the sums out for the secure sum.

        Returns
        -------
        numpy.ndarray
            Score, upper triangle of the information row by row, log-likelihood;
            shape (p + p (p + 1) / 2 + 1,).
        """
        upper = self.information[np.triu_indices(self.score.size)]
        return np.concatenate([self.score, upper, [self.log_likelihood]])

    @classmethod
    def from_vector(cls, vector: Floats, p: int) -> Self:
        """Read the sums back from the layout of `to_vector`.

        Parameters
        ----------
        vector
            Shape (p + p (p + 1) / 2 + 1,).
        p
            Number of columns.

        Raises
        ------
        InputError
            If the length does not fit ``p``.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (vector_length(p),):
            message = (
                f"A vector of shape {values.shape} does not hold the sums of {p} "
                f"columns: {vector_length(p)} numbers are expected."
            )
            raise InputError(message)
        upper = np.zeros((p, p))
        upper[np.triu_indices(p)] = values[p:-1]
        information = upper + np.triu(upper, 1).T
        return cls(values[:p].copy(), information, float(values[-1]))

    def rounded(self, step: float) -> LikelihoodSums:
        """Round every number to a multiple of ``step`` (disclosure rule 20).

        Parameters
        ----------
        step
            Rounding step, at least 0; 0 leaves the sums as they are. The columns are
            standardised beforehand, so ``step=0.1`` means .1 patient-SD.

        Raises
        ------
        InputError
            If ``step`` is negative or not finite.
        """
        if not (np.isfinite(step) and step >= 0):
            message = f"The rounding step is {step}; it must be 0 or positive."
            raise InputError(message)
        if step == 0:
            return self
        # adding zero turns -0.0 into 0.0, whose sign would tell a direction
        values = np.rint(self.to_vector() / step) * step + 0.0
        return LikelihoodSums.from_vector(values, self.score.size)

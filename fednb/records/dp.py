"""Differential privacy of a training plan, as a contract holds it."""

from __future__ import annotations

from typing import Final

from fednb.errors import PlanError
from fednb.records.base import Record

MOST_STEPS: Final = 1_000_000
MOST_NOISE: Final = 1000.0


class DP(Record, frozen=True):
    """Train under differential privacy: ``TrainingPlan(..., dp=DP(epsilon=8))``.

    Each step draws each training patient of a site with the same probability, clips
    each patient's gradient to `max_grad_norm`, and adds Gaussian noise of
    ``noise_multiplier * max_grad_norm`` to their sum (Abadi et al., CCS 2016). Give
    `epsilon`, and the least noise that keeps to it is found; or give
    `noise_multiplier`, and epsilon follows. What is left at 0 is settled when the
    contract is drafted, so that scientist and owners sign the same numbers.

    **What it bounds.** Whoever sees all that a site releases of its training, and knows
    every other patient, learns little of one patient more than without that patient:
    any conclusion becomes at most exp(epsilon) times as likely, but for delta. It holds
    against a hostile coordinator and against all other sites together, since each site
    adds its whole noise, drawn and sampled from its own secret; it needs no secure sum.

    **What it does not.** It says nothing of patients whom a plan does not train on:
    validation figures leave under thresholds, rounding and the secure sum instead, and
    training losses do not leave at all. It does not hide what is true of a site's
    patients as a group. Adjacent are sets of training patients that differ by one; with
    a split by fractions, a patient who joins the dataset can also move another across
    the cut, and then the bound for two holds. Requesters are counted apart: who share
    what they were given share the sum of what they spent. Timing is not protected.

    Attributes
    ----------
    epsilon
        As given: what the training may cost a patient at most. In a contract: what it
        costs at `delta`, over all rounds.
    noise_multiplier
        Standard deviation of a step's noise over `max_grad_norm`; 0: found from
        `epsilon`.
    max_grad_norm
        Euclidean norm to which one patient's gradient is clipped.
    delta
        Probability with which the bound may fail; below one over the number of
        patients.
    sampling_rate
        Probability with which a step draws a patient, the same at all sites; 0: the
        batch size over the training patients of the smallest site, by its card.
    steps
        Steps a round at each site; 0: as many as make the plan's local epochs.
    patients
        Training patients of all sites together, by which steps are scaled in place of
        counts that are private; 0: by the cards.

    Raises
    ------
    PlanError
        A number is out of its range, or neither epsilon nor noise is given.

    Examples
    --------
    >>> plan = fednb.TrainingPlan("small-cnn-3d", "idh", dp=fednb.DP(epsilon=8))
    >>> plan.dp.epsilon
    8
    """

    epsilon: float = 0.0
    noise_multiplier: float = 0.0
    max_grad_norm: float = 1.0
    delta: float = 1e-5
    sampling_rate: float = 0.0
    steps: int = 0
    patients: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what bounds nothing."""
        allowed = {
            "epsilon": 0 <= self.epsilon <= 1e6,
            "noise_multiplier": 0 <= self.noise_multiplier <= MOST_NOISE,
            "max_grad_norm": 1e-6 <= self.max_grad_norm <= 1e6,
            "delta": 1e-15 <= self.delta <= 0.01,
            "sampling_rate": self.sampling_rate == 0 or 1e-6 <= self.sampling_rate <= 1,
            "steps": 0 <= self.steps <= MOST_STEPS,
            "patients": 0 <= self.patients <= 1e12,
        }
        for name, holds in allowed.items():
            if not holds:
                message = (
                    f"{name} = {getattr(self, name)} is out of range for differential "
                    "privacy. A usual choice is DP(epsilon=8, delta=1e-5)."
                )
                raise PlanError(message)
        if not self.epsilon and not self.noise_multiplier:
            message = "DP needs an epsilon, or a noise_multiplier; got neither."
            raise PlanError(message)

    @property
    def settled(self) -> bool:
        """Whether nothing is left open, as in a contract."""
        given = (self.epsilon, self.noise_multiplier, self.sampling_rate)
        return all(given) and self.steps > 0 and self.patients > 0

"""Losses of a network at a site: cross-entropy, one's own, and three for survival.

Each is the mean over the patients of a batch. Averaged over sites with p_k = n_k / n,
means over patients weight the sites' partial likelihoods by their events. `scale`
multiplies the gradient only: in the exact profile it corrects for p_k and a site's
number of patients, so that the mean over sites is exactly the gradient of the pooled
partial likelihood, a death.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fednb.errors import InputError
from fednb.models.code import load

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fednb.records.code import Code
    from fednb.survival.deepcox import Baseline
    from fednb.survival.riskset import Ties

    Rows = NDArray[np.int64]
    Weights = tuple[float, float]

_LEAST = 1e-30


class Criterion(Protocol):
    """Mean loss of some patients; knows their outcomes."""

    @property
    def scale(self) -> float:
        """Factor of the gradient."""

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return the mean loss.

        Parameters
        ----------
        eta
            Network's output, shape (n,).
        rows
            Which patients they are, shape (n,).
        class_weights
            Multiplies patients of label 0 and 1.
        """


@dataclass(frozen=True)
class CrossEntropy:
    """Binary cross-entropy.

    Parameters
    ----------
    labels
        0 or 1 of every patient of the table, shape (N,).
    """

    labels: NDArray[np.float64]
    scale: float = 1.0

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return the mean cross-entropy."""
        labels = _like(self.labels[rows], eta)
        weight = None
        if class_weights is not None:
            weight = _of_class(labels, class_weights)
        return binary_cross_entropy_with_logits(eta, labels, weight=weight)


@dataclass(frozen=True)
class OwnLoss:
    """A requester's own loss, in the confined process that runs its code.

    Parameters
    ----------
    code
        A function of ``logits`` and ``labels``, both (n,), that returns (n,) losses.
    labels
        0 or 1 of every patient of the table, shape (N,).
    """

    code: Code
    labels: NDArray[np.float64]
    scale: float = 1.0

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return the mean loss.

        Raises
        ------
        InputError
            The code returns another shape, or what no gradient goes through.
        IntegrityError
            This process may not run it.
        """
        labels = _like(self.labels[rows], eta)
        found = load(self.code)(logits=eta, labels=labels, **self.code.params)
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else ()
        if shape != tuple(eta.shape) or found.requires_grad != eta.requires_grad:
            message = (
                f"{self.code.name} must return the loss of each patient, a tensor of "
                f"shape {tuple(eta.shape)} made of the logits; got shape {shape}."
            )
            raise InputError(message)
        return _mean(found, labels, class_weights)


@dataclass(frozen=True)
class ExactProfile:
    """Poisson loss exp(eta) Lambda - delta eta: deep Cox, see `survival.deepcox`.

    Parameters
    ----------
    exposure
        Lambda of every patient of the table, shape (N,).
    event
        1 for a death, shape (N,).
    per_death
        `Baseline.per_death`: makes the sum over all patients -ll.
    scale
        n_k / (p_k D) of `of_site`.
    """

    exposure: NDArray[np.float64]
    event: NDArray[np.float64]
    per_death: float = 0.0
    scale: float = 1.0

    @classmethod
    def of_site(
        cls,
        baseline: Baseline,
        codes: NDArray[np.intp],
        event: NDArray[np.float64],
        *,
        patients: int,
        share: float,
    ) -> ExactProfile:
        """Return the loss of a site with a share of the mean over sites.

        Parameters
        ----------
        baseline
            From the sums of all sites.
        codes, event
            Interval and death of every patient of the table, shape (N,).
        patients
            Number of training patients n_k.
        share
            Weight p_k.
        """
        return cls(
            baseline.exposure(codes, event),
            event,
            baseline.per_death,
            patients / (share * baseline.deaths),
        )

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return the mean Poisson loss."""
        event = _like(self.event[rows], eta)
        exposure = _like(self.exposure[rows], eta)
        losses = torch.exp(eta) * exposure - event * (eta - self.per_death)
        return _mean(losses, event, class_weights)


@dataclass(frozen=True)
class PartialLikelihood:
    """Negative log partial likelihood of the patients of a batch, per patient.

    Parameters
    ----------
    time, event
        Of every patient of the table, shape (N,).
    ties
        ``"efron"`` or ``"breslow"``.
    """

    time: NDArray[np.float64]
    event: NDArray[np.float64]
    ties: Ties = "efron"
    scale: float = 1.0

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return -ll over the number of patients; 0 where nobody dies."""
        event = self.event[rows] > 0
        total = negative_log_likelihood(eta, self.time[rows], event, self.ties)
        factor = 1.0 if class_weights is None else class_weights[1]
        return total * (factor / len(rows))


@dataclass(frozen=True)
class DiscreteTime:
    """Negative log-likelihood of interval deaths, complementary log-log.

    The chance to die in interval j is 1 - exp(-exp(alpha_j + eta)): proportional
    hazards, seen at the ends of intervals (Prentice and Gloeckler 1978). Whoever is
    censored in an interval lives through it, as in a risk set.

    Parameters
    ----------
    alpha
        The network's own baseline, shape (J,).
    codes, event
        Interval and death of every patient of the table, shape (N,).
    """

    alpha: Tensor
    codes: NDArray[np.intp]
    event: NDArray[np.float64]
    scale: float = 1.0

    def __call__(
        self, eta: Tensor, rows: Rows, class_weights: Weights | None = None, /
    ) -> Tensor:
        """Return the mean negative log-likelihood."""
        event = _like(self.event[rows], eta)
        codes = torch.from_numpy(self.codes[rows].astype(np.int64)).to(eta.device)
        alpha = self.alpha.to(eta.dtype)
        lived = torch.cat([alpha.new_zeros(1), torch.cumsum(torch.exp(alpha), 0)])
        died = event > 0
        through = torch.where(died, lived[codes], lived[codes + 1])
        last = torch.exp((alpha[codes] + eta).clamp(min=-60.0))
        dies = torch.log(-torch.expm1(-last))
        losses = torch.exp(eta) * through - torch.where(died, dies, 0.0)
        return _mean(losses, event, class_weights)


def negative_log_likelihood(
    eta: Tensor, time: NDArray[np.float64], event: NDArray[np.bool_], ties: Ties
) -> Tensor:
    """Return the negative log partial likelihood of some patients, in O(n log n).

    Parameters
    ----------
    eta
        Log-hazards, shape (n,).
    time, event
        Exit times and deaths, shape (n,).
    ties
        ``"efron"`` or ``"breslow"``.
    """
    order = np.argsort(time, kind="stable")
    times, dead = time[order], np.flatnonzero(event[order])
    if not dead.size:
        return eta.sum() * 0.0
    eta = eta[torch.from_numpy(order).to(eta.device)]
    top = eta.detach().max()
    hazard = torch.exp(eta - top)
    first = np.searchsorted(times, times[dead], side="left")
    phi = hazard.flip(0).cumsum(0).flip(0)[torch.from_numpy(first).to(eta.device)]
    died = torch.from_numpy(dead).to(eta.device)
    if ties == "efron":
        _, begin, group, count = np.unique(
            times[dead], return_index=True, return_inverse=True, return_counts=True
        )
        share = (np.arange(dead.size) - begin[group]) / count[group]
        where = torch.from_numpy(group).to(eta.device)
        dying = hazard.new_zeros(len(count)).index_add(0, where, hazard[died])
        phi = phi - _like(share, eta) * dying[where]
    logs = torch.log(phi.clamp(min=_LEAST)) + top
    return logs.sum() - eta[died].sum()


def check_separable(model: nn.Module) -> None:
    """Refuse a network in which a patient's output depends on the batch.

    Raises
    ------
    InputError
        It has batch normalisation: its output in training is not that of the pass from
        which the baseline came.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            message = (
                f"Layer {name!r} of the network is a {type(module).__name__}. Deep Cox "
                "needs a log-hazard that does not depend on the batch: use group "
                "normalisation, or loss='partial-likelihood'."
            )
            raise InputError(message)


def _like(values: NDArray[np.float64], eta: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values)).to(device=eta.device, dtype=eta.dtype)


def _of_class(labels: Tensor, class_weights: Weights) -> Tensor:
    zero, one = class_weights
    return zero + (one - zero) * labels


def _mean(losses: Tensor, labels: Tensor, class_weights: Weights | None) -> Tensor:
    if class_weights is not None:
        losses = losses * _of_class(labels, class_weights)
    return losses.mean()

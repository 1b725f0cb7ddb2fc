"""Local optimisers, in the mathematics of ``torch.optim``.

They are here because creating one of ``torch.optim`` imports torch's compiler: 80 MB
and two seconds in every worker, for rules of a few lines. Tests hold them against
``torch.optim``.
"""
# ruff: noqa: SLF001 - torch's own optimisers are made of its _foreach operations

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class SGD:
    """Stochastic gradient descent: w <- w - rate (g + decay w).

    Parameters
    ----------
    parameters
        Tensors to move.
    rate
        Learning rate, > 0; may be changed between steps.
    decay
        Weight decay, >= 0, added to the gradient.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, decay: float) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.rate = rate
        self.decay = decay

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move the weights."""
        with torch.no_grad():
            self._move(*self._moving())

    def _moving(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return parameters that have a gradient, and the gradients."""
        moving = [p for p in self.parameters if p.grad is not None]
        return moving, [p.grad for p in moving if p.grad is not None]

    def _move(self, weights: list[Tensor], grads: list[Tensor]) -> None:
        if self.decay:
            grads = list(torch._foreach_add(grads, weights, alpha=self.decay))
        torch._foreach_add_(weights, grads, alpha=-self.rate)


class AdamW(SGD):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019).

    Betas .9 and .999, epsilon 1e-8, with bias correction.

    Parameters
    ----------
    parameters, rate
        As for `SGD`.
    decay
        Weight decay, >= 0: w <- (1 - rate decay) w before the step.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, decay: float) -> None:
        super().__init__(parameters, rate, decay)
        self._steps = 0
        self._means = {p: torch.zeros_like(p) for p in self.parameters}
        self._squares = {p: torch.zeros_like(p) for p in self.parameters}

    @override
    def _move(self, weights: list[Tensor], grads: list[Tensor]) -> None:
        self._steps += 1
        first, second, epsilon = 0.9, 0.999, 1e-8
        means = [self._means[w] for w in weights]
        squares = [self._squares[w] for w in weights]
        torch._foreach_mul_(weights, 1 - self.rate * self.decay)
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - second)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, math.sqrt(1 - second**self._steps))
        torch._foreach_add_(roots, epsilon)
        size = self.rate / (1 - first**self._steps)
        torch._foreach_addcdiv_(weights, means, roots, value=-size)


def optimiser(
    name: Literal["adamw", "sgd"],
    parameters: Iterable[Tensor],
    rate: float,
    decay: float,
) -> SGD:
    """Return a fresh optimiser by the name that plans use."""
    kind = AdamW if name == "adamw" else SGD
    return kind(parameters, rate, decay)

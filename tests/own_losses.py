"""Losses of a scientist's own."""

import torch.nn.functional as fun
from torch import Tensor


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, written out again."""
    return fun.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Focal loss (Lin et al. 2017); at gamma 0 it is cross-entropy."""
    right = 1 - (logits.sigmoid() - labels).abs()
    return (1 - right) ** gamma * entropy(logits, labels)


def fails(logits: Tensor, labels: Tensor) -> Tensor:
    message = f"labels sum to {labels.sum()}"
    raise ValueError(message)


def mean(logits: Tensor, labels: Tensor) -> Tensor:
    return entropy(logits, labels).mean()


def forgets(logits: Tensor, labels: Tensor) -> Tensor:
    return entropy(logits.detach(), labels)


def renamed(outputs: Tensor, labels: Tensor) -> Tensor:
    return entropy(outputs, labels)


class Loss:
    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        return entropy(logits, labels)

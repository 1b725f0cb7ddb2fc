"""A user's own code, as it stands in a module or a notebook's cells."""

import functools
import itertools
import math

import numpy as np
import torch.nn.functional as fun
from torch import Tensor, nn

WIDTHS = (4, 8)
SLOPE = 0.5
SHARED = object()


def block(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(math.gcd(8, after), after),
        nn.ReLU(inplace=True),
    )


class Base(nn.Module):
    def squash(self, x: Tensor) -> Tensor:
        return fun.leaky_relu(x, SLOPE)


class Net(Base):
    def __init__(self, channels: int, embedding: int, factor: int = 1) -> None:
        super().__init__()
        sizes = [channels, *(factor * w for w in WIDTHS)]
        blocks = [block(a, b) for a, b in itertools.pairwise(sizes)]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.last = nn.Linear(sizes[-1], embedding)

    def forward(self, x: Tensor) -> Tensor:
        return self.squash(self.last(self.body(x)))


def mirrored(volume: np.ndarray, rng: np.random.Generator, axis: int) -> np.ndarray:
    return np.flip(volume, axis) if rng.random() < 0.5 else volume


def recursive(n):
    return 1 if n < 1 else recursive(n - 1) + helper(n)


def helper(n):
    return recursive(n - 1)


def borrows(volume):
    return volume, SHARED


def unknown(volume):
    return volume + missing  # noqa: F821


@functools.lru_cache
def wrapped(volume):
    return volume

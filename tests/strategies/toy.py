"""A linear model whose local steps can be done by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fednb.models.optimise import optimiser
from fednb.models.weights import flatten, load_flat, split_flat, state_of
from fednb.strategies.base import LocalRound

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 0.1


class Toy:
    """One site: rows of x and y, squared error, whole-batch SGD of rate .1."""

    def __init__(
        self, x: list[list[float]], y: list[float], state: Path = Path()
    ) -> None:
        self.x, self.y = torch.tensor(x), torch.tensor(y)
        self.state = state
        self.asked: list[dict[str, object]] = []
        self.weights_seen: list[object] = []

    def loss(self, batch: tuple, class_weights: tuple | None = None) -> torch.Tensor:
        x, y = batch
        self.weights_seen.append(class_weights)
        return 0.5 * (self.model(x)[:, 0] - y).square().mean()

    def batches(self, **asked: object) -> Iterator[tuple]:
        self.asked.append(asked)
        yield self.x, self.y

    def round(self, arrays: dict[str, np.ndarray], **changes: object) -> LocalRound:
        self.model = torch.nn.Linear(self.x.shape[1], 1, bias=False)
        load_flat(self.model, arrays["weights"])
        self.descent = optimiser("sgd", self.model.parameters(), RATE, 0.0)
        fields = {
            "epochs": 1,
            "rate": RATE,
            "round": 0,
            "counts": (1, 3),
            "share": 1.0,
            "sites": 1,
        }
        return LocalRound(
            model=self.model,
            loss=self.loss,
            optimiser=self.descent,
            batches=self.batches,
            flatten=lambda: flatten(state_of(self.model)),
            split=lambda flat: split_flat(self.model, flat),
            arrays=arrays,
            state=self.state,
            store=lambda name, data: (self.state / name).write_bytes(data),
            set_rate=lambda value: setattr(self.descent, "rate", value),
            **(fields | changes),
        )


def flat(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def mean_of(parts: list[dict], shares: list[float]) -> dict[str, np.ndarray]:
    """Return what the secure sum forms."""
    return {
        name: sum(s * p[name] for s, p in zip(shares, parts, strict=True))
        for name in parts[0]
    }

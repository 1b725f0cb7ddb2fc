"""FedNova: averages steps, not distances (Wang et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import override

from fednb.strategies.base import Strategy, StrategyState, descend

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from fednb.strategies.base import LocalRound, Vectors


class FedNova(Strategy, frozen=True):
    """w <- w + tau_eff sum p_k Delta_k / tau_k, with tau_eff = sum p_k tau_k.

    Exact for plain SGD, whose tau_k local steps weigh the same.
    """

    name: ClassVar[str] = "fednova"
    private: ClassVar[bool] = True
    optimisers: ClassVar[tuple[str, ...]] = ("sgd",)

    @override
    def vectors(self, parameters: int) -> dict[str, int]:
        """Return the update a step, and the number of steps."""
        return {"update": parameters, "steps": 1}

    @override
    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Scale the mean update a step by the mean number of steps."""
        tau = np.float32(mean["steps"][0])
        weights = (state.weights + tau * mean["update"]).astype(np.float32)
        return StrategyState(state.round + 1, weights, state.extra)

    @override
    def local(self, work: LocalRound) -> Vectors:
        """Train and return Delta_k / tau_k and tau_k."""
        steps = descend(work)
        update = (work.flatten() - work.arrays["weights"]) / np.float32(steps)
        return {"update": update, "steps": np.array([steps], dtype=np.float32)}

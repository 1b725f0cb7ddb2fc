"""SCAFFOLD, option II: control variates against client drift.

Karimireddy et al., ICML 2020. Local step w <- w - eta (g_k - c_k + c); then
c_k+ = c_k - c + (w^t - w_k) / (tau_k eta). The paper averages c_k+ - c_k over K equal
sites; here sites are weighted by p_k like the objective sum p_k F_k, which is the same
for equal sites. Under differential privacy g_k is noisy, and c_k follows from it
(Noble, Bellet and Dieuleveut, AISTATS 2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import override

from fednb.errors import HomeError
from fednb.strategies.base import Strategy, StrategyState, descend

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from fednb.strategies.base import Flat, LocalRound, Vectors


class Scaffold(Strategy, frozen=True):
    """Correct each local step by the difference of global and local control variate.

    Needs plain SGD; sends two vectors of P elements a round.
    """

    name: ClassVar[str] = "scaffold"
    private: ClassVar[bool] = True
    optimisers: ClassVar[tuple[str, ...]] = ("sgd",)

    @override
    def vectors(self, parameters: int) -> dict[str, int]:
        """Return the update and the change of the control variate."""
        return {"update": parameters, "control": parameters}

    @override
    def initial(self, weights: Flat) -> StrategyState:
        """Return the state before the first round: c = 0."""
        flat = np.array(weights, dtype=np.float32)
        return StrategyState(0, flat, {"control": np.zeros_like(flat)})

    @override
    def broadcast(self, state: StrategyState) -> Vectors:
        """Return weights and global control variate."""
        return {"weights": state.weights, "control": state.extra["control"]}

    @override
    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Move weights and control variate by their mean changes."""
        weights = (state.weights + mean["update"]).astype(np.float32)
        control = (state.extra["control"] + mean["control"]).astype(np.float32)
        return StrategyState(state.round + 1, weights, {"control": control})

    @override
    def local(self, work: LocalRound) -> Vectors:
        """Train with corrected gradients; keep c_k at the site."""
        start = np.asarray(work.arrays["weights"], dtype=np.float32)
        shared = np.asarray(work.arrays["control"], dtype=np.float32)
        own = _read(work.state, work.round, start.size)
        params = list(work.model.parameters())
        shifts = work.split(shared - own)

        def correct() -> None:
            for param, shift in zip(params, shifts, strict=True):
                if param.grad is not None:
                    param.grad.add_(shift)

        steps = descend(work, correct=correct)
        update = work.flatten() - start
        change = -shared - update / np.float32(steps * work.rate)
        kept = (own + change).astype("<f4").tobytes()
        work.store(_path(work.state, work.round).name, kept)
        _path(work.state, work.round - 2).unlink(missing_ok=True)
        return {"update": update, "control": change}


def _path(folder: Path, round_: int) -> Path:
    return folder / f"control-{round_:06d}.f32"


def _read(folder: Path, round_: int, size: int) -> Flat:
    """Return c_k as the round before left it; zeros before the first round.

    A file a round makes a repeated round start from what it started from before.
    """
    if round_ == 0:
        return np.zeros(size, dtype=np.float32)
    path = _path(folder, round_ - 1)
    data = path.read_bytes() if path.exists() else b""
    if len(data) != 4 * size:
        message = (
            f"The control variate of round {round_ - 1} has {len(data)} bytes instead "
            f"of {4 * size}. Start a new run."
        )
        raise HomeError(message, detail=str(path))
    return np.frombuffer(data, dtype="<f4").astype(np.float32)

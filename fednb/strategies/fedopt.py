"""Adaptive server optimisers (Reddi et al., ICLR 2021).

m <- b1 m + (1 - b1) Delta; w <- w + rate m / (sqrt(v) + tau), v from tau^2, without
bias correction. They differ in v: see each class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from typing_extensions import override

from fednb.errors import InputError
from fednb.strategies.base import Strategy, StrategyState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from fednb.strategies.base import Flat


class _FedOpt(Strategy, frozen=True):
    """What the three share.

    Attributes
    ----------
    rate
        Server learning rate, > 0.
    beta1, beta2
        Decay of the moments, in [0, 1).
    tau
        Adaptivity: smaller is more adaptive; > 0.

    Raises
    ------
    InputError
        A value lies outside its range.
    """

    rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        inside = 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1
        if not (inside and self.rate > 0 and self.tau > 0):
            message = (
                "A server optimiser needs rate > 0, tau > 0 and betas in [0, 1); got "
                f"rate {self.rate}, tau {self.tau}, betas {self.beta1}, {self.beta2}."
            )
            raise InputError(message)

    @override
    def initial(self, weights: Flat) -> StrategyState:
        """Return the state before the first round: m = 0, v = tau^2."""
        flat = np.array(weights, dtype=np.float32)
        extra = {"m": np.zeros_like(flat), "v": np.full_like(flat, self.tau**2)}
        return StrategyState(0, flat, extra)

    @override
    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Take one server step along the mean update."""
        delta = np.asarray(mean["update"], dtype=np.float32)
        m = self.beta1 * state.extra["m"] + (1 - self.beta1) * delta
        v = self._second_moment(state.extra["v"], delta * delta)
        weights = state.weights + self.rate * m / (np.sqrt(v) + self.tau)
        extra = {"m": m.astype(np.float32), "v": v.astype(np.float32)}
        return StrategyState(state.round + 1, weights.astype(np.float32), extra)

    def _second_moment(self, v: Flat, square: Flat) -> Flat:
        raise NotImplementedError


class FedAdam(_FedOpt, frozen=True):
    """Server Adam: v <- b2 v + (1 - b2) Delta^2."""

    name: ClassVar[str] = "fedadam"
    private: ClassVar[bool] = True

    @override
    def _second_moment(self, v: Flat, square: Flat) -> Flat:
        return self.beta2 * v + (1 - self.beta2) * square


class FedYogi(_FedOpt, frozen=True):
    """Server Yogi: v <- v - (1 - b2) Delta^2 sign(v - Delta^2)."""

    name: ClassVar[str] = "fedyogi"
    private: ClassVar[bool] = True

    @override
    def _second_moment(self, v: Flat, square: Flat) -> Flat:
        sign: Flat = np.sign(v - square)
        return v - (1 - self.beta2) * square * sign


class FedAdagrad(_FedOpt, frozen=True):
    """Server Adagrad: v <- v + Delta^2; `beta2` has no part in it."""

    name: ClassVar[str] = "fedadagrad"
    private: ClassVar[bool] = True

    @override
    def _second_moment(self, v: Flat, square: Flat) -> Flat:
        return v + square

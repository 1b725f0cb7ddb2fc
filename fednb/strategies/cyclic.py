"""Cyclic weight transfer: the weights travel from site to site.

Chang et al., JAMIA 2018; the switches against heterogeneity are from Balachandar et
al., JAMIA 2020: PLTI (local iterations proportional to n_k), CLR (learning rate
proportional to n_k), LWMS (minibatches drawn with P(i) ~ 1/n_{k,y_i}) and CWL (class
weights n_k / (C n_{k,c})).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from typing_extensions import override

from fednb.errors import InputError
from fednb.strategies.base import Strategy, StrategyState, descend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from fednb.strategies.base import LocalRound, Vectors


class CyclicWeightTransfer(Strategy, frozen=True):
    """Train at one site after the other; a round is one cycle through all of them.

    Attributes
    ----------
    order
        Site names in the order of travel; empty: name order.
    rotation
        How the order changes with the cycle: ``"none"``, ``"rotate"`` (each cycle
        starts one site later) or ``"shuffle"`` (seeded by `seed` and the cycle).
    seed
        Of the shuffle.
    iterations
        Batches in place of a local epoch, the same number at every site; 0: whole
        epochs, which are proportional to n_k by themselves.
    plti
        Make `iterations` proportional to n_k, the mean over sites staying the same.
    clr
        Make the learning rate of a visit proportional to n_k, likewise.
    lwms
        Draw minibatches with both labels equally likely.
    cwl
        Weight the loss by n_k / (2 n_{k,c}).

    Raises
    ------
    InputError
        `iterations` is negative, `plti` is on without `iterations`, or a site is
        named twice.
    """

    name: ClassVar[str] = "cyclic"
    private: ClassVar[bool] = True
    relay: ClassVar[bool] = True
    order: tuple[str, ...] = ()
    rotation: Literal["none", "rotate", "shuffle"] = "none"
    seed: int = 0
    iterations: int = 0
    plti: bool = False
    clr: bool = False
    lwms: bool = False
    cwl: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.iterations < 0 or (self.plti and not self.iterations):
            message = (
                "CyclicWeightTransfer needs iterations >= 0, and >= 1 with plti; got "
                f"{self.iterations}."
            )
            raise InputError(message)
        if len(set(self.order)) < len(self.order):
            message = f"order names a site twice: {', '.join(self.order)}."
            raise InputError(message)

    @override
    def check_private(self) -> None:
        """Refuse switches that draw or weigh patients by labels, or change the steps.

        Raises
        ------
        InputError
            `iterations`, `plti`, `lwms` or `cwl` is on.
        """
        switches = ("iterations", "plti", "lwms", "cwl")
        given = [name for name in switches if getattr(self, name)]
        if given:
            message = (
                f"CyclicWeightTransfer cannot use {', '.join(given)} under "
                "differential privacy: a step there draws every patient alike, and "
                "their number is in the contract. Leave it out."
            )
            raise InputError(message)

    @override
    def vectors(self, parameters: int) -> dict[str, int]:
        """Return the one vector that travels: the weights."""
        return {"weights": parameters}

    @override
    def visits(self, round: int, sites: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Return one group a site, in the order of travel.

        Raises
        ------
        InputError
            `order` and `sites` are not the same names.
        """
        if self.order and sorted(self.order) != sorted(sites):
            message = (
                f"order must name each participant once; it has "
                f"{', '.join(self.order)}, the participants are {', '.join(sites)}."
            )
            raise InputError(message)
        route = list(self.order or sites)
        if self.rotation == "rotate":
            start = round % len(route)
            route = route[start:] + route[:start]
        elif self.rotation == "shuffle":
            shuffled = np.random.default_rng([self.seed, round]).permutation(len(route))
            route = [route[i] for i in shuffled]
        return tuple((site,) for site in route)

    @override
    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Take over the weights that the last site of the cycle handed on."""
        weights = np.array(mean["weights"], dtype=np.float32)
        return StrategyState(state.round + 1, weights, state.extra)

    @override
    def local(self, work: LocalRound) -> Vectors:
        """Train and return the weights themselves."""
        scale = work.share * work.sites
        if self.clr:
            work.set_rate(work.rate * scale)
        count = self.iterations
        if self.plti:
            count = max(1, round(self.iterations * scale))
        descend(
            work,
            batches=lambda: work.batches(balanced=self.lwms, iterations=count),
            class_weights=self._class_weights(work.counts) if self.cwl else None,
        )
        return {"weights": work.flatten()}

    @staticmethod
    def _class_weights(counts: tuple[int, int]) -> tuple[float, float]:
        """Return n / (2 n_c); a class that is absent gets no say in anything."""
        total = sum(counts)
        zero, one = (total / (2 * n) if n else 0.0 for n in counts)
        return zero, one

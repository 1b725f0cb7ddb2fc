"""What a strategy is: a coordinator half in numpy, and a site half.

A strategy never sees a single site: the coordinator half receives means over sites,
sum_k p_k v_k with p_k = n_k / n, which a secure sum has already formed. The site half
is handed model, loss, optimiser and data as a `LocalRound`; nothing here imports torch.

A new strategy is one file: subclass `Strategy`, override what differs, and list the
class in `fednb.strategies.registry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec
import numpy as np

from fednb.errors import InputError
from fednb.records.specs import StrategySpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Flat = NDArray[np.float32]
    Vectors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class StrategyState:
    """What a coordinator keeps, and checkpoints, between rounds.

    Parameters
    ----------
    round
        Rounds done so far; the next round's number.
    weights
        Global weights w, flat float32, tensors in sorted name order, shape (P,).
    extra
        Further arrays of the strategy by name, for example moments.
    """

    round: int
    weights: Flat
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)


class Loss(Protocol):
    """Mean loss of a batch, as a tensor that can be back-propagated."""

    def __call__(
        self,
        batch: Any,  # noqa: ANN401
        class_weights: tuple[float, float] | None = None,
        /,
    ) -> Any:  # noqa: ANN401
        """Return the loss; `class_weights` multiplies rows of label 0 and 1."""
        ...


class Batches(Protocol):
    """A site's training patients in batches, in a random order of the round's own."""

    def __call__(self, *, balanced: bool = False, iterations: int = 0) -> Iterable[Any]:
        """Return one pass, or `iterations` batches; balanced: P(i) ~ 1/n_{y_i}."""
        ...


class Optimiser(Protocol):
    """The part of `torch.optim.Optimizer` that a strategy uses."""

    def zero_grad(self) -> Any:  # noqa: ANN401
        """Forget the gradients."""
        ...

    def step(self) -> Any:  # noqa: ANN401
        """Move the weights."""
        ...


@dataclass(frozen=True, kw_only=True)
class LocalRound:
    """All that the site half works with.

    Parameters
    ----------
    model
        ``torch.nn.Module`` that holds the broadcast weights.
    loss
        Mean loss of a batch; counts what it sees for the metrics.
    optimiser
        Fresh optimiser over the model's parameters.
    batches
        Passes over the training patients.
    flatten
        Returns the model's current weights, flat float32, shape (P,).
    split
        Returns a flat vector as tensors in the order of ``model.parameters()``.
    arrays
        What the coordinator broadcast, ``"weights"`` among it.
    epochs
        Passes in this round.
    rate
        Learning rate of this round.
    round
        Number of the round, from 0.
    counts
        Training patients of label 0 and 1.
    share, sites
        Weight p_k of this site in means, and number of sites.
    state
        Folder at the site, mode 0700, of what the strategy keeps between rounds.
    store
        Writes a file into that folder by name, durably, whole or not at all.
    set_rate
        Changes the optimiser's learning rate.
    """

    model: Any
    loss: Loss
    optimiser: Optimiser
    batches: Batches
    flatten: Callable[[], Flat]
    split: Callable[[Flat], Sequence[Any]]
    arrays: Mapping[str, NDArray[Any]]
    epochs: int
    rate: float
    round: int
    counts: tuple[int, int]
    state: Path
    store: Callable[[str, bytes], None]
    set_rate: Callable[[float], None]
    share: float = 1.0
    sites: int = 1


class Strategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all strategies; itself it is the plain mean of updates.

    Attributes
    ----------
    name
        Under which contracts and the registry know it.
    relay
        Whether weights travel site to site instead of being averaged.
    optimisers
        Local optimisers that its mathematics allows.
    private
        Whether all that its site half returns follows from the noisy gradients of
        `descend` and from what is public, so that differential privacy of those covers
        it. A strategy that does not say so is refused under differential privacy.
    """

    name: ClassVar[str] = ""
    relay: ClassVar[bool] = False
    optimisers: ClassVar[tuple[str, ...]] = ("adamw", "sgd")
    private: ClassVar[bool] = False

    def spec(self) -> StrategySpec:
        """Return name and parameters, as a contract holds them."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        params = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return StrategySpec(self.name, params)

    def check(self, optimiser: str) -> None:
        """Refuse a local optimiser that the strategy's mathematics does not allow.

        Raises
        ------
        InputError
            It is none of `optimisers`.
        """
        if optimiser not in self.optimisers:
            allowed = " or ".join(self.optimisers)
            message = f"Strategy {self.name!r} needs {allowed}; got {optimiser!r}."
            raise InputError(message)

    def check_private(self) -> None:
        """Refuse differential privacy where the strategy looks past noisy gradients.

        Raises
        ------
        InputError
            It is not `private`, or a parameter of it is not.
        """
        if not self.private:
            message = (
                f"Strategy {self.name!r} cannot run under differential privacy: not "
                "all that it sends follows from noisy gradients. Use FedAvg."
            )
            raise InputError(message)

    def vectors(self, parameters: int) -> dict[str, int]:
        """Return name and number of elements of the vectors a site sends a round."""
        return {"update": parameters}

    def awaited(self, state: StrategyState) -> tuple[str, ...]:
        """Return the names of the vectors that the round after a state brings."""
        return tuple(self.vectors(len(state.weights)))

    def visits(self, round: int, sites: Sequence[str]) -> tuple[tuple[str, ...], ...]:  # noqa: A002
        """Return the groups of sites that work at the same time, in order.

        Parameters
        ----------
        round
            Number of the round, from 0.
        sites
            All participants in name order.
        """
        del round
        return (tuple(sites),)

    def initial(self, weights: Flat) -> StrategyState:
        """Return the state before the first round."""
        return StrategyState(0, np.array(weights, dtype=np.float32))

    def broadcast(self, state: StrategyState) -> Vectors:
        """Return what every site receives at the start of a round."""
        return {"weights": state.weights}

    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Return the state after a round.

        Parameters
        ----------
        state
            Before the round.
        mean
            sum_k p_k v_k of every vector that `vectors` names.
        """
        moved = state.weights + mean["update"]
        weights = moved.astype(np.float32, copy=False)
        return StrategyState(state.round + 1, weights, state.extra)

    def local(self, work: LocalRound) -> Vectors:
        """Train at a site and return the vectors that `vectors` names."""
        descend(work)
        return {"update": work.flatten() - work.arrays["weights"]}


def descend(
    work: LocalRound,
    *,
    batches: Callable[[], Iterable[Any]] | None = None,
    class_weights: tuple[float, float] | None = None,
    correct: Callable[[], None] | None = None,
) -> int:
    """Take local steps and return their number tau_k.

    Parameters
    ----------
    work
        The round.
    batches
        One pass; `LocalRound.batches` by default.
    class_weights
        Passed to the loss.
    correct
        Called between the backward pass and the step, to change gradients in place.
    """
    model, loss, optimiser = work.model, work.loss, work.optimiser
    model.train()
    steps = 0
    for _ in range(work.epochs):
        for batch in (batches or work.batches)():
            optimiser.zero_grad()
            loss(batch, class_weights).backward()
            if correct is not None:
                correct()
            optimiser.step()
            steps += 1
    return steps

"""A strategy whose rounds begin with a sum of hazards: deep Cox, exact profile.

Every round has two halves at the same weights. In the first, sites return the sums S0,
D0 and d of `fednb.survival.deepcox`; in the second, which brings their total, the inner
strategy trains. Each half is a round of its own for all that counts, keeps, relays and
repeats rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from fednb.errors import PlanError
from fednb.strategies.base import Strategy, StrategyState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from fednb.strategies.base import Flat, LocalRound, Vectors

BASELINE = "baseline"


class Refreshed(Strategy, frozen=True):
    """An averaging strategy, refreshed at the start of every round.

    Attributes
    ----------
    inner
        The strategy.
    elements
        Length of the vector of sums.

    Raises
    ------
    PlanError
        The strategy hands weights from site to site: no sum over sites is at the same
        weights.
    """

    inner: Strategy
    elements: int

    def __post_init__(self) -> None:
        """Refuse a relay."""
        if self.inner.relay:
            message = (
                f"Strategy {self.inner.name!r} trains one site after the other, so no "
                "baseline over all sites is at its weights. Use another strategy, or "
                "loss='partial-likelihood'."
            )
            raise PlanError(message)

    @override
    def check(self, optimiser: str) -> None:
        """Refuse what the inner strategy refuses."""
        self.inner.check(optimiser)

    @override
    def vectors(self, parameters: int) -> dict[str, int]:
        """Return the inner strategy's vectors and the sums."""
        return {**self.inner.vectors(parameters), BASELINE: self.elements}

    @override
    def awaited(self, state: StrategyState) -> tuple[str, ...]:
        """Return the sums, or the inner strategy's vectors."""
        if BASELINE in state.extra:
            return self.inner.awaited(self._inside(state))
        return (BASELINE,)

    @override
    def initial(self, weights: Flat) -> StrategyState:
        """Return the inner strategy's state, without sums."""
        return self.inner.initial(weights)

    @override
    def broadcast(self, state: StrategyState) -> Vectors:
        """Return the inner strategy's arrays; in the second half the sums as well."""
        sent = self.inner.broadcast(self._inside(state))
        if BASELINE in state.extra:
            sent = {**sent, BASELINE: state.extra[BASELINE]}
        return sent

    @override
    def aggregate(
        self, state: StrategyState, mean: Mapping[str, NDArray[Any]]
    ) -> StrategyState:
        """Keep the sums, or take the inner strategy's step and forget them."""
        if BASELINE not in state.extra:
            extra = {**state.extra, BASELINE: mean[BASELINE]}
            return StrategyState(state.round + 1, state.weights, extra)
        after = self.inner.aggregate(self._inside(state), mean)
        return StrategyState(state.round + 1, after.weights, after.extra)

    @override
    def local(self, work: LocalRound) -> Vectors:
        """Train with the inner strategy."""
        return self.inner.local(work)

    @staticmethod
    def _inside(state: StrategyState) -> StrategyState:
        extra = {n: a for n, a in state.extra.items() if n != BASELINE}
        return StrategyState(state.round // 2, state.weights, extra)

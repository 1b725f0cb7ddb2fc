"""FedProx: FedAvg with a pull towards the global weights (Li et al., MLSys 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from fednb.errors import InputError
from fednb.strategies.base import Strategy, descend

if TYPE_CHECKING:
    from fednb.strategies.base import LocalRound, Vectors


class FedProx(Strategy, frozen=True):
    """Minimise local loss + mu/2 ||w - w^t||^2 at each site, then average.

    Attributes
    ----------
    mu
        Strength of the pull, >= 0; 0 is FedAvg.

    Raises
    ------
    InputError
        `mu` is negative.
    """

    name: ClassVar[str] = "fedprox"
    private: ClassVar[bool] = True
    mu: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a negative pull."""
        if not self.mu >= 0:
            message = f"mu of FedProx must be >= 0; got {self.mu}."
            raise InputError(message)

    @override
    def local(self, work: LocalRound) -> Vectors:
        """Train with the proximal term and return the update."""
        params = [p for p in work.model.parameters() if p.requires_grad]
        anchors = [p.detach().clone() for p in params]

        def pull() -> None:
            # The term's gradient, mu (w - w^t), is added as such: cheaper than a
            # second loss, and exactly nothing at mu = 0.
            for param, anchor in zip(params, anchors, strict=True):
                if param.grad is not None:
                    param.grad.add_(param.detach() - anchor, alpha=self.mu)

        descend(work, correct=pull if self.mu else None)
        return {"update": work.flatten() - work.arrays["weights"]}

"""What a step brings each site at once, known before anybody is asked.

Under the secure sum every site forms the sum by itself: each round brings it all other
participants' masked vectors in one message, so that traffic grows with the network and
with the number of sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fednb.config import MAX_MESSAGE_BYTES
from fednb.display.text import human_bytes
from fednb.errors import PlanError
from fednb.privacy.pool import TOTALS
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan

if TYPE_CHECKING:
    from fednb.records.contracts import Contract

WEIGHT_BYTES: Final = 4
AROUND: Final = 2**20
"""Of a message, at most, beside the vectors in it: names, hashes, signatures."""


@dataclass(frozen=True)
class Load:
    """The largest message that a step brings to a site, or gets from one.

    Attributes
    ----------
    step
        Number of the step.
    own
        Bytes of one site's vectors, of weights, or of what is sealed.
    relayed
        How many other sites' vectors come at once; 0 where none are relayed.
    weights
        Bytes of weights that come beside them.
    """

    step: int
    own: int
    relayed: int = 0
    weights: int = 0

    @property
    def bytes(self) -> int:
        """Size of the message."""
        return max(self.own, self.own * self.relayed + self.weights)


def loads_of(contract: Contract) -> tuple[Load, ...]:
    """Return the largest message of each step that trains or uses a network.

    Parameters
    ----------
    contract
        With its outputs, and the number of weights by step.
    """
    return tuple(
        _load(contract, step, plan)
        for step, plan in enumerate(contract.steps)
        if isinstance(plan, TrainingPlan | EvaluationPlan | EmbeddingPlan)
    )


def check_traffic(contract: Contract) -> None:
    """Refuse a contract of which a message would not fit, before anybody is asked.

    Raises
    ------
    PlanError
        Says how large it would be, what limits it, and what to do.
    """
    named = contract.resources.message_bytes
    most = min(named, MAX_MESSAGE_BYTES - AROUND)
    for load in loads_of(contract):
        if load.bytes > most:
            raise PlanError(_words(load, contract, most))


def _load(
    contract: Contract, step: int, plan: TrainingPlan | EvaluationPlan | EmbeddingPlan
) -> Load:
    others = len(contract.participants) - 1
    if isinstance(plan, TrainingPlan):
        own = _vectors(contract, step)
        again = plan.rounds * plan.calls > 1 and contract.privacy.secure_sum
        masked = again and any(o.kind == "masked" for o in contract.outputs)
        return Load(step, own, others if masked else 0)
    wanted = plan.model.sha256
    number = wanted.removeprefix("step:")
    if number == wanted or not contract.privacy.secure_sum:
        return Load(step, 0)
    trained = int(number)
    weights = WEIGHT_BYTES * contract.parameters.get(number, 0)
    return Load(step, _vectors(contract, trained), others, weights)


def _vectors(contract: Contract, step: int) -> int:
    """Return the bytes that a site releases of a network in a round."""
    found = [
        o.bytes
        for o in contract.outputs
        if o.step == step and o.name not in TOTALS | {"relay"}
    ]
    return sum(found)


def _words(load: Load, contract: Contract, most: int) -> str:
    ready = human_bytes(load.bytes)
    if load.relayed:
        what = (
            f"Step {load.step} would bring each site {ready} at once: the masked "
            f"vectors of {load.relayed} other sites, {human_bytes(load.own)} each"
        )
    else:
        what = f"A message of step {load.step} would have {ready}"
    limit = contract.resources.message_bytes
    if most == limit and load.bytes <= MAX_MESSAGE_BYTES - AROUND:
        return (
            f"{what}. The contract names at most {human_bytes(limit)} a message: ask "
            f"with resources=fednb.Resources(message_bytes={load.bytes}), which each "
            "site's owner may refuse by max_message_bytes, or use a smaller network."
        )
    advice = "Use a smaller network"
    if load.relayed:
        fit = (most - load.weights) // max(load.own, 1)
        sites = f", at most {fit + 1} sites" if fit >= 2 else ""
        advice += f"{sites}, or weights that travel from site to site (cyclic)"
    return f"{what}. A message holds at most {human_bytes(most)}. {advice}."

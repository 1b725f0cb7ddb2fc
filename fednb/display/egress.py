"""What a contract lets leave a site: each output, a round, and in total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fednb.display import text
from fednb.records.tasks import TrainingPlan

if TYPE_CHECKING:
    from fednb.records.contracts import Contract, OutputSpec

KINDS: Final = {
    "masked": "hidden by the secure sum",
    "table": "rounded aggregates",
    "weights": "network weights in the clear",
    "sealed": "weights that only the next site can read",
    "receipt": "a receipt; the values stay at the site",
}
"""Kinds of output in plain words."""

HEADERS: Final = (
    *("step", "output", "kind", "shape", "a release", "releases", "in total"),
    "control",
)


def output_row(spec: OutputSpec) -> tuple[object, ...]:
    """Return one output as a row under `HEADERS`; sizes are upper bounds."""
    often = "once" if spec.times == 1 else f"{spec.times} times"
    return (
        spec.step,
        spec.name,
        f"{spec.kind}: {KINDS[spec.kind]}",
        f"up to {text.human_count(spec.elements)} numbers",
        text.human_bytes(spec.bytes),
        often,
        text.human_bytes(spec.bytes * spec.times),
        spec.control,
    )


def bounds(contract: Contract) -> tuple[str, ...]:
    """Return what may leave each site at most: a round, a step, and in total.

    A retry of a call sends the same bytes once more and is not counted.
    """
    lines = []
    for step, plan in enumerate(contract.steps):
        named = [o for o in contract.outputs if o.step == step]
        whole = text.human_bytes(sum(o.bytes * o.times for o in named))
        if isinstance(plan, TrainingPlan):
            rounds = [o.bytes for o in named if o.times >= plan.rounds]
            each = text.human_bytes(sum(rounds))
            lines.append(
                f"Step {step}: at most {each} a round, {whole} in {plan.rounds} rounds."
            )
        elif contract.standing:
            each = text.human_bytes(sum(o.bytes for o in named))
            lines.append(f"Step {step}: at most {each} a query, {whole} in all.")
        else:
            lines.append(f"Step {step}: at most {whole}.")
    total = sum(o.bytes * o.times for o in contract.outputs)
    lines.append(f"In total: at most {text.human_bytes(total)} from each site.")
    return tuple(lines)

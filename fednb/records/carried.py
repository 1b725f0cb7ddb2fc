"""The code that plans carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.errors import PlanError
from fednb.records.code import Code
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan

if TYPE_CHECKING:
    from fednb.records.contracts import Contract
    from fednb.records.tasks import AnyPlan


def training_of(plan: AnyPlan) -> TrainingPlan | None:
    """Return the plan that trains, or trained, the network of a step; None: no network.

    Parameters
    ----------
    plan
        Any plan of a contract.
    """
    if isinstance(plan, EvaluationPlan | EmbeddingPlan):
        return plan.model.training
    return plan if isinstance(plan, TrainingPlan) else None


def codes_of(plan: AnyPlan) -> tuple[Code, ...]:
    """Return the code that a plan runs: its network's, its transforms', its loss's.

    What uses a trained network runs no loss.

    Parameters
    ----------
    plan
        Any plan of a contract.
    """
    training = training_of(plan)
    if training is None:
        return ()
    loss = training.loss if plan is training else None
    found = (training.model, *training.transforms, loss)
    return tuple(part for part in found if isinstance(part, Code))


def check_carried(plan: TrainingPlan) -> None:
    """Refuse what code cannot be combined with.

    Raises
    ------
    PlanError
        The plan has code, and asks for CUDA, promises differential privacy, or predicts
        survival; or its loss has problems, each told by its line.
    """
    if not codes_of(plan):
        return
    if plan.loss is not None:
        _check_loss(plan.loss)
    if plan.device == "cuda":
        message = "Custom code runs on the CPU. Use device='auto' or 'cpu'."
        raise PlanError(message)
    if plan.dp is not None:
        message = (
            "Custom code and differential privacy exclude each other: the code would "
            "run in the process that draws the noise. Use a network of the registry."
        )
        raise PlanError(message)
    if plan.survival is not None:
        message = (
            "Custom code predicts a binary column so far; the plan's target is "
            "survival. Train on a binary column, and fit a CoxPlan on the embedding."
        )
        raise PlanError(message)


def _check_loss(loss: Code) -> None:
    loss.check()
    if not {"logits", "labels"} <= set(loss.arguments):
        given = ", ".join(loss.arguments) or "none, or it is a class"
        message = (
            f"A loss of one's own is a function of logits and labels; {loss.name} has "
            f"these arguments: {given}."
        )
        raise PlanError(message)


def codes_in(contract: Contract) -> dict[str, Code]:
    """Return the code of a contract, each once, by its place in words.

    Parameters
    ----------
    contract
        Any contract.
    """
    found: dict[str, Code] = {}
    for step, plan in enumerate(contract.steps):
        for code in codes_of(plan):
            if code not in found.values():
                found[f"step {step}: {code.name}"] = code
    return found

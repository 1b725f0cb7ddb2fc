"""What may leave a site under a contract: derived from its steps, never taken on trust.

The scientist's side and every site derive the same list from the same plans. A site
refuses a contract whose list differs, so what the owner reads is what can happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from fednb.errors import PlanError
from fednb.privacy.secure_sum import MINIMUM_SITES
from fednb.privacy.tables import DescribeLayout
from fednb.records.contracts import OutputKind, OutputSpec, Privacy
from fednb.records.specs import StrategySpec
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    QueryPlan,
    TrainingPlan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAIN_METRICS: Final = 7
EVALUATION_METRICS: Final = 8
TABLE_ELEMENTS: Final = 100_000
SEALED_OVERHEAD: Final = 4096

VectorsOf = Callable[[StrategySpec, int], dict[str, int]]
"""Names and element counts of what a strategy's site half returns; empty: a relay."""

_SUM = "secure sum: only the total over all sites can be read"
_TABLE = "disclosure rules 1-8: thresholds, rounding, owner's grid"
_HAZARDS = (
    "hazards at risk, hazards and numbers of deaths by interval of follow-up; a site "
    "merges intervals with too few of its exits (disclosure rule 10)"
)
_OPEN = "open profile: in the clear"
_DP = "differential privacy: epsilon {epsilon:g} at delta {delta:g} in all rounds"


def outputs_of(
    steps: tuple[AnyPlan, ...],
    *,
    parameters: Mapping[str, int],
    privacy: Privacy,
    sites: int,
    calls: int,
    vectors_of: VectorsOf,
) -> tuple[OutputSpec, ...]:
    """Return every output that the steps need, in order.

    Parameters
    ----------
    steps
        The plans of the contract.
    parameters
        Number of weights of the network a step trains or uses, by step index.
    privacy
        Of the contract.
    sites
        Number of participants.
    calls
        How often a table may leave: a standing contract's cap on calls, 1 in a run.
    vectors_of
        See `VectorsOf`.

    Raises
    ------
    PlanError
        A plan would need parts in the clear that its profile does not allow.
    """
    outputs: list[OutputSpec] = []
    for step, plan in enumerate(steps):
        weights = parameters.get(str(step), 0)
        if isinstance(plan, TrainingPlan):
            _check_relay(plan, privacy, sites, vectors_of)
            found = _training(step, plan, weights, privacy, vectors_of)
        else:
            found = _totals(step, plan, privacy, calls)
        outputs.extend(found)
    exposed = [o.name for o in outputs if o.kind == "masked"]
    if exposed and privacy.secure_sum and sites < MINIMUM_SITES:
        message = (
            f"A secure sum needs at least {MINIMUM_SITES} sites; the contract names "
            f"{sites}. Add sites, or use datasets under the open profile."
        )
        raise PlanError(message)
    return tuple(outputs)


def _training(
    step: int,
    plan: TrainingPlan,
    weights: int,
    privacy: Privacy,
    vectors_of: VectorsOf,
) -> list[OutputSpec]:
    vectors = vectors_of(plan.strategy, weights)
    if not vectors:
        return _relayed(step, plan, weights)
    if plan.dp is not None and not privacy.secure_sum and privacy.profile != "open":
        return _alone(step, plan, vectors)
    kind, control = _hidden(privacy)
    control = _bound(plan) + control
    found = [
        OutputSpec(step, name, kind, n, 4 * n, plan.rounds, control)
        for name, n in vectors.items()
    ]
    survival = plan.survival
    if survival is not None and survival.summed:
        sums = _spec(
            step, "baseline", 3 * len(survival.intervals), plan.rounds, privacy
        )
        control = f"{_HAZARDS}; {sums.control}"
        found.append(msgspec.structs.replace(sums, control=control))
    found.append(_spec(step, "metrics", TRAIN_METRICS, plan.rounds, privacy))
    return found


def _relayed(step: int, plan: TrainingPlan, weights: int) -> list[OutputSpec]:
    """Return outputs of weights that travel from site to site."""
    sealed = 4 * weights + SEALED_OVERHEAD
    return [
        OutputSpec(
            step,
            "relay",
            "sealed",
            sealed,
            sealed,
            plan.rounds,
            f"{_bound(plan)}sealed to the next site's key: the coordinator cannot "
            "read it",
        ),
        OutputSpec(
            step,
            "weights",
            "weights",
            weights,
            4 * weights,
            1,
            f"{_bound(plan)}after every site has trained on it in turn; incoming "
            "weights are sealed, so no single site's change can be computed",
        ),
    ]


def _check_relay(
    plan: TrainingPlan, privacy: Privacy, sites: int, vectors_of: VectorsOf
) -> None:
    """Refuse a relay too short to hide anybody: its first weights are known to all."""
    hidden = privacy.profile == "open" or plan.dp is not None
    if hidden or sites >= MINIMUM_SITES or vectors_of(plan.strategy, 1):
        return
    message = (
        f"Weights that travel from site to site need at least {MINIMUM_SITES} sites; "
        f"the contract names {sites}: what a single one changed would show. Add sites, "
        "or train under differential privacy."
    )
    raise PlanError(message)


def _alone(step: int, plan: TrainingPlan, vectors: dict[str, int]) -> list[OutputSpec]:
    """Return outputs whose one protection is differential privacy (rule 18)."""
    if plan.validate_every:
        message = (
            "Without the secure sum, figures of one site's validation patients would "
            "leave in the clear. Set validate_every=0, or use at least three sites."
        )
        raise PlanError(message)
    control = _bound(plan).removesuffix("; ")
    found = [
        OutputSpec(step, name, "weights", n, 4 * n, plan.rounds, control)
        for name, n in vectors.items()
    ]
    size = 8 * TRAIN_METRICS
    nothing = "nothing: zeros in place of figures"
    found.append(
        OutputSpec(step, "metrics", "table", TRAIN_METRICS, size, plan.rounds, nothing)
    )
    return found


def _bound(plan: TrainingPlan) -> str:
    """Return what differential privacy bounds, before another control; or nothing."""
    if plan.dp is None:
        return ""
    return f"{_DP.format(epsilon=plan.dp.epsilon, delta=plan.dp.delta)}; "


def _totals(step: int, plan: AnyPlan, privacy: Privacy, calls: int) -> list[OutputSpec]:
    if isinstance(plan, QueryPlan):
        elements = TABLE_ELEMENTS
        if isinstance(plan, DescribePlan):
            elements = DescribeLayout.from_plan(plan).size
        return [_spec(step, "table", elements, calls, privacy)]
    if isinstance(plan, EvaluationPlan):
        return [_spec(step, "metrics", EVALUATION_METRICS, 1, privacy)]
    if isinstance(plan, EmbeddingPlan):
        control = "the embeddings stay at the site; only that they are stored leaves"
        return [OutputSpec(step, "receipt", "receipt", 2, 16, 1, control)]
    if isinstance(plan, TrainingPlan):
        message = "A training step has outputs of its strategy, not totals."
        raise PlanError(message)
    return [_spec(step, p.name, p.elements, p.times, privacy) for p in plan.phases()]


def _hidden(privacy: Privacy) -> tuple[OutputKind, str]:
    if privacy.secure_sum:
        return "masked", _SUM
    if privacy.profile != "open":
        message = (
            "Without the secure sum, parts of a single site would leave in the clear. "
            "Only the open profile allows that; use at least three sites."
        )
        raise PlanError(message)
    return "table", _OPEN


def _spec(
    step: int, name: str, elements: int, times: int, privacy: Privacy
) -> OutputSpec:
    if name == "table" and not privacy.secure_sum:
        return OutputSpec(step, name, "table", elements, 8 * elements, times, _TABLE)
    kind, control = _hidden(privacy)
    control = f"{_TABLE}; {control}" if name == "table" else control
    return OutputSpec(step, name, kind, elements, 8 * elements, times, control)

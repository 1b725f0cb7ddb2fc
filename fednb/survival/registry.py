"""Summed steps by plan: what a contract fixes, and what comes next.

A step whose rounds bring totals has three parts, each found by the type of its plan:
the public half here, which coordinator and sites replay alike; the site half in
`fednb.site.tasks.summed`, which computes a site's part of what is asked; and the reader
in `fednb.coordinator.outcomes`, which makes a result of the totals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan
from fednb.records.curves import SurvivalPlan
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.survival.assessing import assessment_of
from fednb.survival.curves import curve_design
from fednb.survival.protocol import design_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fednb.records.contracts import Contract
    from fednb.records.specs import SummedPlan
    from fednb.survival.sums import Floats


class Stage(Protocol):
    """Where a summed step stands after some rounds."""

    @property
    def phase(self) -> str:
        """Name of the vector that the next round asks for; ``"done"`` at the end."""


class Analysis(Protocol):
    """What a contract fixes about a summed step: the same at every participant."""

    def replay(self, history: Sequence[Floats]) -> Stage:
        """Return where the step stands after the totals of `history`, one a round.

        Raises
        ------
        FitError
            The step cannot go on.
        """


def _head(plan: Any, contract: Contract) -> Analysis:  # noqa: ANN401
    return design_of(
        plan,
        contract.columns,
        privacy=contract.privacy,
        parts=len(contract.participants),
    )


def _curves(plan: Any, contract: Contract) -> Analysis:  # noqa: ANN401
    return curve_design(plan, contract.columns, contract.privacy.precision)


_ANALYSES: dict[type, Callable[[Any, Contract], Analysis]] = {
    AssessmentPlan: assessment_of,
    CoxPlan: _head,
    LogisticPlan: _head,
    SurvivalPlan: _curves,
}


def analysis_of(plan: SummedPlan, contract: Contract) -> Analysis:
    """Return the public half of a summed step under a contract.

    Raises
    ------
    PlanError, UnknownNameError
        The contract's columns do not fit the plan.
    """
    build = _ANALYSES.get(type(plan))
    if build is None:
        message = f"There is no analysis of a {type(plan).__name__}."
        raise PlanError(message)
    return build(plan, contract)

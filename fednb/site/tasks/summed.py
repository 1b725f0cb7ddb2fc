"""Site halves of summed steps, by plan; see `fednb.survival.registry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan
from fednb.records.curves import SurvivalPlan
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.site.tasks.assess import Assess
from fednb.site.tasks.curves import Curves
from fednb.site.tasks.heads import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fednb.privacy.profiles import Profile
    from fednb.records.datasets import Column
    from fednb.records.outputs import Decision
    from fednb.site.tasks.job import Job
    from fednb.survival.registry import Analysis


class SiteHalf(Protocol):
    """Computes one site's part; kept between the rounds of a run."""

    def vector(
        self,
        stage: Any,  # noqa: ANN401
        profile: Profile,
    ) -> tuple[NDArray[np.float64], tuple[Decision, ...]]:
        """Return this site's part of what `stage` asks for, after the rules.

        Returns
        -------
        vector
            What may be summed with the other sites' parts.
        decisions
            Verdicts of the rules; where one denies, the vector must not leave.
        """


_HALVES: dict[type, Callable[[Job, Any, Sequence[Column]], SiteHalf]] = {
    AssessmentPlan: Assess,
    CoxPlan: Head,
    LogisticPlan: Head,
    SurvivalPlan: Curves,
}


def site_half(job: Job, analysis: Analysis, columns: Sequence[Column]) -> SiteHalf:
    """Return the site half of a summed step.

    Parameters
    ----------
    job
        The first call's job: plan, table, split and embedding.
    analysis
        What the contract fixes.
    columns
        Declarations in the contract.

    Raises
    ------
    PlanError
        The plan is not a summed one.
    """
    build = _HALVES.get(type(job.plan))
    if build is None:
        message = f"There is no site half of a {type(job.plan).__name__}."
        raise PlanError(message)
    return build(job, analysis, columns)

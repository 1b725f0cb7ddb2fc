"""Weights of sites in a mean: no site may all but make it by itself (rule 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.privacy.rules import DOMINANCE
from fednb.records.tasks import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.privacy.profiles import Profile
    from fednb.records.contracts import Contract
    from fednb.records.outputs import Decision


def check_shares(weights: Sequence[float], profile: Profile) -> Decision:
    """Refuse weights under which a mean over sites is one site's part.

    A secure sum hides a site's update only as far as the others' are in it. A requester
    chooses the weights, and could give all but one site next to none.

    Parameters
    ----------
    weights
        One a site, positive, with sum 1.
    profile
        Gives the p-ratio: all other sites together weigh at least that share of the
        heaviest, for example 10 %.

    Returns
    -------
    Decision
        Of rule 6.
    """
    heaviest = max(weights, default=0.0)
    others = max(sum(weights) - heaviest, 0.0)
    reason = (
        f"the heaviest site has a weight of {heaviest:.4g}, all others together "
        f"{others:.4g}; at least {profile.p_ratio:g} of the heaviest is needed"
    )
    allow = others >= profile.p_ratio * heaviest
    return DOMINANCE.decide(reason, profile, allow=allow)


def means_in(contract: Contract) -> bool:
    """Whether weights decide what a contract's sums hide: where updates are masked.

    Parameters
    ----------
    contract
        Its outputs are those that its steps need. Differential privacy protects a part
        whatever its weight is.
    """
    plans = [contract.steps[o.step] for o in contract.outputs if o.kind == "masked"]
    return any(isinstance(plan, TrainingPlan) and plan.dp is None for plan in plans)

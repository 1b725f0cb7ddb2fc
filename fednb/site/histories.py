"""Totals of a summed step's rounds so far, from what all participants signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from fednb.errors import IntegrityError
from fednb.privacy.pool import total
from fednb.privacy.signatures import is_released
from fednb.records.arrays import pack, unpack
from fednb.records.assessment import AssessmentPlan
from fednb.site.admission import run_state
from fednb.survival.assessing import with_fit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fednb.records.arrays import Array
    from fednb.records.contracts import Contract
    from fednb.records.messages import Call
    from fednb.records.outputs import Place
    from fednb.records.specs import SummedPlan
    from fednb.site.home import Home
    from fednb.site.work import RunState

    Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """What a call of a summed step rests on.

    Attributes
    ----------
    plan
        Of the step; an assessment of a fit of the same contract with its numbers.
    totals
        Of the step's rounds so far.
    history
        As a site keeps them. An assessment of a fit begins with that fit's last total:
        the others are in the record of its own step.
    """

    plan: SummedPlan
    totals: list[Floats]
    history: tuple[Array, ...]


def seen_of(
    plan: SummedPlan, call: Call, contract: Contract, known: RunState | None, home: Home
) -> Seen:
    """Return what a call rests on.

    Parameters
    ----------
    plan
        Of the step, summed.
    call
        Admitted; relays the parts of the round before.
    contract
        In force.
    known
        Where the step stands at this site.
    home
        Of this site.

    Raises
    ------
    IntegrityError
        Relayed parts are not what the participants signed.
    PlanError, InputError
        The fit to assess is another, or has not ended.
    """
    fit = plan.model.step if isinstance(plan, AssessmentPlan) else None
    history = _history(call, contract, known, fit, home)
    totals = _floats(history)
    if not isinstance(plan, AssessmentPlan) or fit is None:
        return Seen(plan, totals, history)
    fitted = run_state(home, call.place.run, fit)
    before = _floats(fitted.history) if fitted else []
    return Seen(with_fit(plan, contract, [*before, totals[0]]), totals[1:], history)


def _history(
    call: Call,
    contract: Contract,
    known: RunState | None,
    fit: int | None,
    home: Home,
) -> tuple[Array, ...]:
    """Return the totals so far; the last is that of the parts that were relayed."""
    place = call.place
    at = place.round - (fit is None)
    if at < 0:
        return ()
    before = msgspec.structs.replace(place, round=place.round - 1)
    if place.round == 0 and fit is not None:
        fitted = run_state(home, place.run, fit)
        if fitted is None:
            message = f"Step {fit} has not begun at this site."
            raise IntegrityError(message)
        before = msgspec.structs.replace(place, step=fit, round=fitted.round)
    found = pack(_relayed_total(call, before, contract))
    history = known.history if known else ()
    kept = history[at : at + 1]
    if kept and bytes(kept[0].data) != bytes(found.data):
        message = "The relayed totals differ from those of an earlier attempt."
        raise IntegrityError(message)
    return (*history[:at], found)


def _relayed_total(call: Call, before: Place, contract: Contract) -> Floats:
    """Return the total of an earlier round from all participants' parts."""
    for output in call.relayed:
        if not is_released(output, before, contract):
            message = f"The part of {output.site!r} is not what that site signed."
            raise IntegrityError(message)
    return total(call.relayed, contract.sites(), training=False)


def _floats(history: Iterable[Array]) -> list[Floats]:
    return [np.asarray(unpack(kept), dtype=np.float64) for kept in history]

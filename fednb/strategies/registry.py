"""Strategies by name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from fednb.errors import InputError, UnknownNameError
from fednb.records.specs import StrategySpec
from fednb.strategies.cyclic import CyclicWeightTransfer
from fednb.strategies.fedavg import FedAvg
from fednb.strategies.fednova import FedNova
from fednb.strategies.fedopt import FedAdagrad, FedAdam, FedYogi
from fednb.strategies.fedprox import FedProx
from fednb.strategies.refreshed import Refreshed
from fednb.strategies.scaffold import Scaffold

if TYPE_CHECKING:
    from fednb.records.tasks import TrainingPlan
    from fednb.strategies.base import Strategy

_CLASSES: Final[tuple[type[Strategy], ...]] = (
    CyclicWeightTransfer,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedNova,
    FedProx,
    FedYogi,
    Scaffold,
)

STRATEGIES: Final[dict[str, type[Strategy]]] = {c.name: c for c in _CLASSES}
"""Every strategy by the name that contracts use."""


def resolve(spec: StrategySpec) -> Strategy:
    """Return the strategy that a spec names.

    Raises
    ------
    UnknownNameError
        No strategy or parameter has that name.
    InputError
        A parameter has the wrong type or lies outside its range.
    """
    return _resolved(msgspec.json.encode(spec))


def strategy_of(plan: TrainingPlan) -> Strategy:
    """Return the strategy by which a plan's rounds go on.

    It is the one that the plan names; for deep Cox, that one `Refreshed`.

    Raises
    ------
    UnknownNameError, InputError
        As `resolve`.
    PlanError
        The strategy cannot train what the plan asks for.
    """
    strategy = resolve(plan.strategy)
    survival = plan.survival
    if survival is None or not survival.summed:
        return strategy
    return Refreshed(strategy, 3 * len(survival.intervals))


@lru_cache(maxsize=256)
def _resolved(packed: bytes) -> Strategy:
    """Return the strategy of an encoded spec: sites resolve one at every call."""
    spec = msgspec.json.decode(packed, type=StrategySpec)
    kind = STRATEGIES.get(spec.name)
    if kind is None:
        raise UnknownNameError("strategy", spec.name, STRATEGIES)
    fields = [f.name for f in msgspec.structs.fields(kind)]
    for name in spec.params:
        if name not in fields:
            what = f"parameter of strategy {spec.name!r}"
            raise UnknownNameError(what, name, fields)
    try:
        return msgspec.convert(spec.params, kind)
    except msgspec.ValidationError as error:
        message = f"Strategy {spec.name!r}: {error}."
        raise InputError(message) from error

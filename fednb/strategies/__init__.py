"""Strategies: one algorithm a file; `Strategy` says what one is."""

from fednb.strategies.base import LocalRound, Strategy, StrategyState
from fednb.strategies.cyclic import CyclicWeightTransfer
from fednb.strategies.fedavg import FedAvg
from fednb.strategies.fednova import FedNova
from fednb.strategies.fedopt import FedAdagrad, FedAdam, FedYogi
from fednb.strategies.fedprox import FedProx
from fednb.strategies.registry import STRATEGIES, resolve
from fednb.strategies.scaffold import Scaffold

__all__ = [
    "STRATEGIES",
    "CyclicWeightTransfer",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedNova",
    "FedProx",
    "FedYogi",
    "LocalRound",
    "Scaffold",
    "Strategy",
    "StrategyState",
    "resolve",
]

"""Federated averaging: w <- w + sum_k p_k Delta_k (McMahan et al., AISTATS 2017)."""

from __future__ import annotations

from typing import ClassVar

from fednb.strategies.base import Strategy


class FedAvg(Strategy, frozen=True):
    """Average the sites' updates, weighted by their numbers of patients.

    Examples
    --------
    >>> FedAvg().spec().name
    'fedavg'
    """

    name: ClassVar[str] = "fedavg"
    private: ClassVar[bool] = True

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from toy import Toy, flat, mean_of

from fednb.errors import HomeError
from fednb.strategies import FedAvg, Scaffold

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.strategies import Strategy


def test_the_control_variate_by_hand(tmp_path: Path):
    # First round, c = c_k = 0, one step: update .6, c_k+ = -.6 / .1 = -6, the gradient.
    site = Toy([[2.0]], [5.0], tmp_path)
    start = {"weights": flat(1.0), "control": flat(0.0)}
    first = Scaffold().local(site.round(start))
    assert first["update"] == pytest.approx([0.6])
    assert first["control"] == pytest.approx([-6.0])
    # Second round, c = -4, w = 1.6: gradient -3.6 - c_k + c = -3.6 + 6 - 4 = -1.6;
    # c_k+ = -6 + 4 - .16 / .1 = -3.6, the gradient again.
    work = site.round({"weights": flat(1.6), "control": flat(-4.0)}, round=1)
    second = Scaffold().local(work)
    assert second["update"] == pytest.approx([0.16])
    assert second["control"] == pytest.approx([2.4], abs=1e-5)


def run(strategy: Strategy, folders: list[Path], rounds: int) -> float:
    """Train two sites that want w = 0 and w = 3, with different curvature."""
    data = [([[1.0]], [0.0]), ([[2.0]], [6.0])]
    state = strategy.initial(flat(1.0))
    for t in range(rounds):
        sent = strategy.broadcast(state)
        parts = [
            strategy.local(Toy(x, y, folder).round(sent, epochs=5, round=t))
            for (x, y), folder in zip(data, folders, strict=True)
        ]
        state = strategy.aggregate(state, mean_of(parts, [0.5, 0.5]))
    return float(state.weights[0])


def test_it_reaches_the_pooled_minimum_where_averaging_drifts(tmp_path: Path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    pooled = (2 * 6) / (1 + 4)
    assert run(Scaffold(), folders, 40) == pytest.approx(pooled, abs=1e-4)
    assert abs(run(FedAvg(), folders, 40) - pooled) > 0.1


def test_a_lost_state_is_an_error(tmp_path: Path):
    start = {"weights": flat(1.0), "control": flat(0.0)}
    work = Toy([[2.0]], [5.0], tmp_path).round(start, round=3)
    with pytest.raises(HomeError, match="control variate of round 2 has 0 bytes"):
        Scaffold().local(work)


def test_only_two_rounds_of_state_are_kept(tmp_path: Path):
    start = {"weights": flat(1.0), "control": flat(0.0)}
    for t in range(4):
        Scaffold().local(Toy([[2.0]], [5.0], tmp_path).round(start, round=t))
    names = [p.name for p in sorted(tmp_path.iterdir())]
    assert names == ["control-000002.f32", "control-000003.f32"]
    assert Scaffold().vectors(4) == {"update": 4, "control": 4}
    state = Scaffold().initial(flat(1.0, 2.0))
    assert np.array_equal(state.extra["control"], flat(0.0, 0.0))

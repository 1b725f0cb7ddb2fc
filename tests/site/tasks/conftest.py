from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

    from fednb.records.tasks import TrainingPlan

from task_fixtures import (
    Client,
    Hospital,
    initial_weights,
    make_hospital,
    small_plan,
)


@pytest.fixture(scope="session")
def weights() -> Callable[..., np.ndarray]:
    return initial_weights


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return make_hospital(tmp_path)


@pytest.fixture
def plan() -> TrainingPlan:
    return small_plan()


@pytest.fixture
def start_worker() -> Iterator[Callable[[], Client]]:
    running = []

    def start() -> Client:
        process = subprocess.Popen(
            [sys.executable, "-m", "fednb.site.tasks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        return Client(process)

    yield start
    for process in running:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()

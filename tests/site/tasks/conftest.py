from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fednb.records.datasets import Column, Manifest
from fednb.records.tasks import SplitSpec, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

from task_fixtures import (
    MODALITIES,
    NETWORK,
    SIDE,
    Client,
    Hospital,
    initial_weights,
    write_volumes,
)


@pytest.fixture(scope="session")
def weights() -> Callable[..., np.ndarray]:
    return initial_weights


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """16 patients, labels in turns, the last one without; ages missing once."""
    rng = np.random.default_rng(1)
    rows, volumes = [], []
    for i in range(16):
        patient = f"p{i:02d}"
        label = "" if i == 15 else str(i % 2)
        age = "" if i == 3 else str(30 + i)
        rows.append({"patient_id": patient, "idh": label, "age": age})
        volumes += write_volumes(tmp_path / "images", patient, rng, 3.0 * (i % 2))
    with (tmp_path / "clinical.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["patient_id", "idh", "age"])
        writer.writeheader()
        writer.writerows(rows)
    columns = (
        Column("idh", "binary"),
        Column("age", "number", "years", lower=20.0, upper=80.0),
    )
    patients = tuple(row["patient_id"] for row in rows)
    return Hospital(
        tmp_path,
        Manifest("glioma", columns, MODALITIES, patients, "0" * 64, tuple(volumes)),
    )


@pytest.fixture
def plan() -> TrainingPlan:
    return TrainingPlan(
        model=NETWORK,
        target="idh",
        rounds=4,
        batch_size=4,
        size=(SIDE,) * 3,
        modalities=MODALITIES,
        split=SplitSpec(),
        device="cpu",
    )


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

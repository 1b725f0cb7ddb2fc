"""Mock data drawn from what the owner declared, never from values (law 1)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.records.datasets import Column

SUBJECTS = 60
VOLUMES = 8


def mock_table(columns: tuple[Column, ...], seed: int = 0) -> bytes:
    """Return a CSV of `SUBJECTS` made-up patients.

    Parameters
    ----------
    columns
        Declarations: numbers are drawn evenly between the bounds, labels evenly.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["patient_id", *(c.name for c in columns)])
    drawn = [_draw(column, rng) for column in columns]
    for i in range(SUBJECTS):
        writer.writerow([f"mock-{i:03d}", *(values[i] for values in drawn)])
    return stream.getvalue().encode()


def mock_volume(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth ellipsoid with noise, float32, shape (size, size, size)."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    a, b, c = rng.uniform(0.6, 0.8, 3)
    head = (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1
    noise = rng.normal(0, 0.05, head.shape)
    return np.where(head, 0.75 + noise, 0.0).astype(np.float32)


def mock_images(
    folder: Path,
    modalities: tuple[str, ...],
    size: int = 32,
    seed: int = 0,
) -> None:
    """Write volumes of `VOLUMES` patients: ``folder/<patient>/<modality>.nii.gz``."""
    from fednb.imaging.readers import write_nifti

    rng = np.random.default_rng(seed)
    for i in range(VOLUMES):
        for modality in modalities:
            target = folder / f"mock-{i:03d}" / f"{modality}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(target, mock_volume(size, rng), (160 / size,) * 3)


def _draw(column: Column, rng: np.random.Generator) -> list[str]:
    if column.kind == "binary":
        return [str(v) for v in rng.integers(0, 2, SUBJECTS)]
    if column.kind == "category":
        levels = column.levels or ("",)
        return [levels[i] for i in rng.integers(0, len(levels), SUBJECTS)]
    values = rng.uniform(column.lower, column.upper, SUBJECTS)
    grain = column.resolution or 1.0
    return [f"{round(v / grain) * grain:g}" for v in values]

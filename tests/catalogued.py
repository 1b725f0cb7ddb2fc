"""Small tables and volumes on disk, and how a test registers them."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from fednb.records.datasets import Column

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.site.catalog import Catalog, Source

AGE = Column("age", "number", unit="years", lower=18.0, upper=90.0, step=6.0)
IDH = Column("idh", "binary")
MODALITIES = ("T1c", "FLAIR")


def write_table(path: Path, rows: list[tuple[str, ...]]):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("patient_id", "age", "idh"), *rows])
    return path


def write_volume(path: Path, rng: np.random.Generator):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = rng.normal(size=(6, 7, 8)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.diag([1, 1, 2, 1])), path)


def create(catalog: Catalog, source: Source, profile: str = "standard"):
    return catalog.create(source, profile=profile, gpus=("H200",), enter=no_ledger)


def no_ledger(_database: object, _card: object):
    """For a catalog on its own."""


def every_byte_under(folder: Path):
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())

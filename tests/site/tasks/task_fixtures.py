"""A small hospital on disk, and the parent's end of a worker."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import nibabel as nib
import numpy as np

from fednb.models.build import build
from fednb.models.weights import flatten, state_of
from fednb.records.arrays import pack
from fednb.records.datasets import Column, Manifest, VolumeFile
from fednb.records.specs import ModelSpec, SplitSpec
from fednb.records.tasks import TrainingPlan
from fednb.site.tasks.job import Job, JobResult, Progress
from fednb.wire.frames import read_frame, write_frame

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SIDE = 10
MODALITIES = ("T1c", "FLAIR")
NETWORK = ModelSpec("small-cnn-3d", {"widths": [4, 8], "embedding": 3})


def write_volumes(folder: Path, patient: str, rng: np.random.Generator, shift: float):
    """Write volumes whose brightness tells the label, and return their records."""
    files = []
    for modality in MODALITIES:
        values = rng.normal(size=(SIDE,) * 3).astype(np.float32)
        values[2:5, 2:5, 2:5] += shift
        path = folder / patient / f"{modality}.nii"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
        data = path.read_bytes()
        files.append(
            VolumeFile(
                patient,
                modality,
                f"{patient}/{modality}.nii",
                len(data),
                hashlib.sha256(data).hexdigest(),
                (SIDE,) * 3,
                (1.0, 1.0, 1.0),
            )
        )
    return files


@dataclass(frozen=True)
class Hospital:
    """A small dataset on disk, and jobs on it."""

    folder: Path
    manifest: Manifest

    def job(self, plan: object, **changes: object) -> Job:
        n = len(self.manifest.patients)
        defaults = {
            "manifest": self.manifest,
            "id": "call-1",
            "site": "ucsf",
            "round": 0,
            "rounds": 4,
            "split": {
                "train": tuple(range(n // 2)),
                "validation": tuple(range(n // 2, n)),
                "test": tuple(range(n // 2, n)),
            },
            "arrays": {"weights": pack(initial_weights())},
        }
        return Job(
            plan=plan,
            table=str(self.folder / "clinical.csv"),
            images=str(self.folder / "images"),
            work=str(self.folder / "work"),
            **(defaults | changes),
        )


def initial_weights(covariates: int = 0, seed: int = 0) -> np.ndarray:
    return flatten(state_of(build(NETWORK, 2, covariates, seed)))


def make_hospital(folder: Path) -> Hospital:
    """16 patients, labels in turns, the last one without; ages missing once."""
    rng = np.random.default_rng(1)
    rows, volumes = [], []
    for i in range(16):
        patient = f"p{i:02d}"
        label = "" if i == 15 else str(i % 2)
        age = "" if i == 3 else str(30 + i)
        rows.append({"patient_id": patient, "idh": label, "age": age})
        volumes += write_volumes(folder / "images", patient, rng, 3.0 * (i % 2))
    with (folder / "clinical.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["patient_id", "idh", "age"])
        writer.writeheader()
        writer.writerows(rows)
    columns = (
        Column("idh", "binary"),
        Column("age", "number", "years", lower=20.0, upper=80.0),
    )
    patients = tuple(row["patient_id"] for row in rows)
    return Hospital(
        folder,
        Manifest("glioma", columns, MODALITIES, patients, "0" * 64, tuple(volumes)),
    )


def small_plan() -> TrainingPlan:
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


@dataclass
class Client:
    """The parent's end of a worker."""

    process: subprocess.Popen

    def ask(self, record: object) -> JobResult:
        return self.read_result(msgspec.msgpack.encode(record))

    def read_result(self, payload: bytes) -> JobResult:
        write_frame(self.process.stdin, payload)
        while True:
            frame = read_frame(self.process.stdout)
            assert frame is not None, "the worker died"
            answer = msgspec.msgpack.decode(frame, type=Progress | JobResult)
            if isinstance(answer, JobResult):
                return answer

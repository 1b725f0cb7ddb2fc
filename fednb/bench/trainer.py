"""A site's training round against a plain PyTorch loop over the same things."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fednb.bench.report import Report, Target, median
from fednb.models.build import build
from fednb.models.weights import flatten, load_flat, state_of
from fednb.records.arrays import pack, unpack
from fednb.records.base import sha256_hex
from fednb.records.datasets import Column, Manifest, VolumeFile
from fednb.records.tasks import TrainingPlan
from fednb.site.tasks.job import Job
from fednb.site.tasks.patients import patients_of
from fednb.site.tasks.runtime import generator, prepare, seed_torch
from fednb.site.tasks.train import train

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from fednb.models.build import ImageNetwork
    from fednb.records.specs import Device
    from fednb.site.tasks.runtime import Runtime

RATIO = 1.05
SITE = "bench"
LEARNING_RATE = 1e-3
DECAY = 1e-2


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes
    ----------
    patients, size, batch
        Random volumes of size^3 with two modalities, half in float16 as cached.
    repeats
        Rounds of one epoch a side, in turns.
    model
        Network by name.
    device
        ``"cpu"``, on one thread, or ``"cuda"``, with mixed precision on both sides.
    """

    patients: int = 64
    size: int = 32
    batch: int = 16
    repeats: int = 7
    model: str = "small-cnn-3d"
    device: Device = "cpu"


QUICK = Settings(patients=6, size=12, batch=3, repeats=2)


@dataclass(frozen=True)
class TrainerRow:
    """Both sides of one setting.

    Attributes
    ----------
    model, device
        What is trained, and where.
    patients, size, batch, repeats
        See `Settings`.
    fednb_ms, torch_ms
        Median of a training step: a round over its number of batches.
    ratio
        Of the medians.
    difference
        Largest difference of the weights after a round.
    """

    model: str
    device: str
    patients: int
    size: int
    batch: int
    repeats: int
    fednb_ms: float
    torch_ms: float
    ratio: float
    difference: float
    target: Target | None = None


@dataclass
class _Plain:
    """A plain loop: tensors in memory on the device, and torch's own AdamW."""

    model: ImageNetwork
    runtime: Runtime
    images: Tensor
    labels: Tensor
    orders: list[Tensor] = field(default_factory=list)

    def train(self, weights: NDArray[np.float32]) -> None:
        """Train one epoch from `weights`."""
        load_flat(self.model, weights)
        self.model.train()
        descent = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=DECAY
        )
        for rows in self.orders:
            descent.zero_grad()
            with self.runtime.precision():
                logits = self.model(self.images[rows], None)
            loss = binary_cross_entropy_with_logits(
                logits[:, 0].float(), self.labels[rows]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            descent.step()


def measure(settings: Settings | None = None) -> Report:
    """Train both sides in turns, from the same weights, in the same batch order."""
    chosen = settings or Settings()
    with tempfile.TemporaryDirectory(prefix="fednb-bench-") as name:
        job, plan = _job(Path(name), chosen)
        weights = np.asarray(unpack(job.arrays["weights"]), dtype=np.float32)
        plain = _plain(job, plan)

        def ours() -> NDArray[np.float32]:
            update = train(job, lambda _done, _all: None).vectors["update"]
            return weights + np.asarray(unpack(update), dtype=np.float32)

        def theirs() -> None:
            plain.train(weights)

        after = ours()
        theirs()
        difference = np.abs(after - flatten(state_of(plain.model))).max()
        mine: list[float] = []
        torchs: list[float] = []
        for _ in range(chosen.repeats):
            mine.append(_seconds(ours))
            torchs.append(_seconds(theirs))
    steps = len(plain.orders)
    ratio = median(mine) / median(torchs)
    row = TrainerRow(
        model=chosen.model,
        device=str(plain.runtime.device),
        patients=chosen.patients,
        size=chosen.size,
        batch=chosen.batch,
        repeats=chosen.repeats,
        fednb_ms=median(mine) / steps * 1e3,
        torch_ms=median(torchs) / steps * 1e3,
        ratio=ratio,
        difference=float(difference),
        target=Target(f"training step on {chosen.device}", ratio, RATIO, "x plain"),
    )
    notes = (
        "fednb's side is a whole round of one epoch, from the job to the update; the "
        "plain side keeps all volumes in memory as float32.",
    )
    return Report("trainer", (row,), notes)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _plain(job: Job, plan: TrainingPlan) -> _Plain:
    runtime = prepare(plan.device, amp=True, threads=1, gpu_gib=job.gpu_gib)
    patients = patients_of(job, plan, runtime.device)
    rows = np.arange(len(patients))
    whole = patients.batch(rows)
    model = build(plan.network, 2, 0, plan.seed).to(runtime.device)
    seed_torch(plan.seed, SITE, 0, "torch")
    shuffled = generator(plan.seed, SITE, 0, "order").permutation(rows)
    orders = [
        torch.from_numpy(shuffled[start : start + plan.batch_size]).to(runtime.device)
        for start in range(0, len(rows), plan.batch_size)
    ]
    return _Plain(model, runtime, whole.images, whole.labels, orders)


def _job(folder: Path, chosen: Settings) -> tuple[Job, TrainingPlan]:
    """Write a random dataset and return a job that trains on all of it."""
    plan = TrainingPlan(
        chosen.model,
        "label",
        batch_size=chosen.batch,
        learning_rate=LEARNING_RATE,
        weight_decay=DECAY,
        schedule="constant",
        modalities=("T1c", "FLAIR"),
        size=(chosen.size,) * 3,
        device=chosen.device,
        validate_every=0,
    )
    rng = np.random.default_rng(0)
    names = tuple(f"p{number:04d}" for number in range(chosen.patients))
    volumes = [
        _volume(folder, name, modality, rng.normal(size=plan.size))
        for name in names
        for modality in plan.modalities
    ]
    table = folder / "table.csv"
    lines = [f"{name},{number % 2}" for number, name in enumerate(names)]
    table.write_text("patient_id,label\n" + "\n".join(lines) + "\n")
    column = Column("label", "binary", levels=("0", "1"))
    hashed = sha256_hex(table.read_bytes())
    manifest = Manifest(
        "bench", (column,), plan.modalities, names, hashed, tuple(volumes)
    )
    weights = flatten(state_of(build(plan.network, 2, 0, plan.seed)))
    job = Job(
        id="bench",
        site=SITE,
        plan=plan,
        round=0,
        rounds=1,
        manifest=manifest,
        table=str(table),
        images=str(folder),
        work=str(folder / "work"),
        split={"train": tuple(range(chosen.patients))},
        arrays={"weights": pack(weights)},
    )
    return job, plan


def _volume(
    folder: Path, patient: str, modality: str, values: NDArray[np.float64]
) -> VolumeFile:
    path = folder / patient / f"{modality}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    image = nib.Nifti1Image(values.astype(np.float32), np.eye(4))  # type: ignore[no-untyped-call]
    nib.save(image, path)
    data = path.read_bytes()
    return VolumeFile(
        patient,
        modality,
        f"{patient}/{modality}.nii.gz",
        len(data),
        sha256_hex(data),
        (values.shape[0], values.shape[1], values.shape[2]),
        (1.0, 1.0, 1.0),
    )

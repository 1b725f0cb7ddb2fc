"""Patients of one dataset as network input: labels, covariates, volumes.

Volumes are read and brought through the fixed transforms once; the result stays in a
file a patient under ``work/cache``, mode 0600. The kernel keeps those files in its page
cache, so a batch costs a copy, and the worker's own memory holds no data set.
"""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from fednb.errors import DatasetError, UnknownNameError
from fednb.imaging.resample import pad_or_crop
from fednb.imaging.transforms import (
    ALLOWED,
    build_fixed,
    build_random,
    named,
    validate,
)
from fednb.imaging.volumes import load_patient
from fednb.records.base import canonical, sha256_hex
from fednb.site.tasks.files import write_private
from fednb.site.tasks.job import cache_folder
from fednb.site.tasks.own import OwnTransforms
from fednb.site.tasks.table import PATIENT, numbers, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from fednb.records.datasets import Column, Manifest, VolumeFile
    from fednb.records.specs import TransformSpec
    from fednb.records.tasks import TrainingPlan
    from fednb.site.tasks.job import Job

    Floats = NDArray[np.float32]

HALF_UP_TO: Final = 64.0
"""Up to this magnitude float16 is within .03: volumes beyond it stay in float32."""

GPU_SHARE: Final = 0.25
"""Share of the contract's GPU memory that may keep volumes between batches."""


@dataclass(frozen=True)
class Batch:
    """Some patients on the device.

    Parameters
    ----------
    images
        Shape (n, channels, X, Y, Z), float32.
    covariates
        Shape (n, c), or None for a network without.
    labels
        Shape (n,), 0 or 1; of a survival target whether the patient died.
    rows
        Which patients they are, shape (n,).
    """

    images: Tensor
    covariates: Tensor | None
    labels: Tensor
    rows: NDArray[np.int64]


class Patients:
    """A dataset under a training plan's modalities, size, transforms and columns.

    Parameters
    ----------
    job
        For its manifest, paths and column declarations.
    plan
        The plan that the network was, or is being, trained by.
    device
        Where batches go.

    Raises
    ------
    UnknownNameError
        The dataset lacks a column or a modality of the plan.
    DatasetError
        The table does not fit the manifest, or a label is not 0 or 1.
    """

    def __init__(self, job: Job, plan: TrainingPlan, device: torch.device) -> None:
        columns = {c.name: c for c in (job.columns or job.manifest.columns)}
        for name in (*plan.outcome, *plan.covariates):
            if name not in columns:
                raise UnknownNameError("column", name, columns)
        table = table_of(job)
        if tuple(table[PATIENT].tolist()) != job.manifest.patients:
            raise DatasetError(["the table lists other patients than the manifest"])
        outcome = [columns[name] for name in plan.outcome]
        self.labels = _labels(outcome[-1], numbers(table, outcome[-1]))
        self.times = np.zeros(len(self.labels))
        if plan.survival is not None:
            self.times = _times(outcome[0], numbers(table, outcome[0]))
            self.labels = np.where(np.isnan(self.times), np.nan, self.labels)
        inputs = [columns[name] for name in plan.covariates]
        scaled = [_scaled(column, numbers(table, column)) for column in inputs]
        self._covariates = np.stack(scaled, axis=1) if scaled else None
        validate(plan.transforms)
        augments = len(_fixed_of(plan)) < len(named(plan.transforms))
        self._augment = build_random(plan.transforms) if augments else None
        self._own = OwnTransforms(plan.transforms)
        self._cache = _cache_for(job, plan)
        self._device = device
        room = GPU_SHARE * job.gpu_gib * 2**30 if device.type == "cuda" else 0
        self._bank = _Bank(self._cache, device, int(room))

    def __len__(self) -> int:
        return len(self.labels)

    def labelled(self, rows: Sequence[int]) -> NDArray[np.int64]:
        """Return those of `rows` whose label is known, in their order."""
        chosen = np.asarray(rows, dtype=np.int64)
        return chosen[~np.isnan(self.labels[chosen])]

    def batch(
        self, rows: NDArray[np.int64], rng: np.random.Generator | None = None
    ) -> Batch:
        """Return patients by row; with a generator, after the random transforms."""
        changes = self._own.random or self._augment is not None
        if self._own.fixed or (rng is not None and changes):
            changed = np.empty((len(rows), *self._cache.shape), dtype=np.float32)
            for place, row in enumerate(rows.tolist()):
                changed[place] = self._changed(self._cache.read(row), rng)
            images = torch.from_numpy(changed).to(self._device)
        else:
            images = self._bank.images(rows)
        covariates = None
        if self._covariates is not None:
            covariates = torch.from_numpy(self._covariates[rows]).to(self._device)
        labels = torch.from_numpy(self.labels[rows].astype(np.float32))
        return Batch(images, covariates, labels.to(self._device), rows)

    def store(self, rows: Sequence[int], advance: Callable[[int], None]) -> None:
        """Have the volumes of some patients in their files, for another process."""
        for done, row in enumerate(rows, 1):
            self._cache.stored(row)
            advance(done)

    def _changed(self, volume: Floats, rng: np.random.Generator | None) -> Floats:
        """Return a volume after all transforms; the random ones need a generator."""
        volume = self._own.apply(volume, None)
        if rng is None:
            return volume
        if self._augment is not None:
            volume = self._augment(volume, rng)
        return self._own.apply(volume, rng)


_WARM_MOST: Final = 4
_warm: OrderedDict[str, Patients] = OrderedDict()


def patients_of(job: Job, plan: TrainingPlan, device: torch.device) -> Patients:
    """Return `Patients`, the same object for a further call on the same data.

    Raises
    ------
    UnknownNameError, DatasetError
        As `Patients`.
    """
    table = Path(job.table).stat()
    parts = (
        job.site,
        job.table,
        (table.st_mtime_ns, table.st_size),
        (job.images, job.work, job.gpu_gib),
        sha256_hex(canonical(plan)),
        job.manifest.fingerprint(),
        [canonical(column) for column in job.columns],
        device,
    )
    key = repr(parts)
    if key not in _warm:
        _warm[key] = Patients(job, plan, device)
    _warm.move_to_end(key)
    while len(_warm) > _WARM_MOST:
        _warm.popitem(last=False)
    return _warm[key]


class _Bank:
    """Volumes kept on the device, as many as fit; the others come from the cache."""

    def __init__(self, cache: _Cache, device: torch.device, room: int) -> None:
        self._cache = cache
        self._device = device
        self._room = room
        self._kept: dict[int, Tensor] = {}

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """Return (n, C, X, Y, Z) float32 on the device."""
        parts = [self._one(int(row)) for row in rows]
        if len({part.dtype for part in parts}) > 1:
            parts = [part.float() for part in parts]
        return torch.stack(parts).to(self._device).float()

    def _one(self, row: int) -> Tensor:
        if row in self._kept:
            return self._kept[row]
        volume = torch.from_numpy(self._cache.stored(row))
        if volume.nbytes <= self._room:
            self._room -= volume.nbytes
            volume = self._kept[row] = volume.to(self._device)
        return volume


class _Cache:
    """Fixed transforms of each patient's volumes, in files of their own."""

    def __init__(self, folder: Path, job: Job, plan: TrainingPlan) -> None:
        self._folder = folder
        self._images = Path(job.images)
        self._patients = job.manifest.patients
        self._modalities = plan.modalities or job.manifest.modalities
        self._size = plan.size
        self._fixed = build_fixed(plan.transforms)
        self._native = any(
            spec.name == "ResampleSpacing" for spec in named(plan.transforms)
        )
        self._volumes = _by_patient(job.manifest)
        self._checked: set[int] = set()
        self.shape = (len(self._modalities), *plan.size)
        self._elements = math.prod(self.shape)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, row: int) -> Floats:
        """Return a patient's volumes as float32, shape (C, X, Y, Z), writable."""
        stored = self.stored(row)
        if stored.dtype == np.float32:
            return stored
        # torch widens half precision with vector instructions, numpy one by one
        return torch.from_numpy(stored).float().numpy()

    def stored(self, row: int) -> NDArray[np.floating[Any]]:
        """Return a patient's volumes as they are stored: float16 or float32."""
        path = self._folder / f"{row:06d}.bin"
        if row not in self._checked:
            if not self._is_whole(path):
                self._write(path, self._load(row))
            self._checked.add(row)
        data = np.fromfile(path, dtype=np.uint8, count=path.stat().st_size - 4)
        if data.size == 2 * self._elements:
            return data.view(np.float16).reshape(self.shape)
        return data.view(np.float32).reshape(self.shape)

    def _is_whole(self, path: Path) -> bool:
        """Return whether a cached file survived: a power cut may leave half of it."""
        if not path.exists():
            return False
        data = memoryview(path.read_bytes())
        body, check = data[:-4], data[-4:]
        right_size = len(body) in {2 * self._elements, 4 * self._elements}
        return right_size and zlib.crc32(body) == int.from_bytes(check, "little")

    def _load(self, row: int) -> Floats:
        patient = self._patients[row]
        volumes = self._volumes.get(patient, ())
        if not volumes:
            raise DatasetError([f"patient {patient!r} has no volume"])
        # A plan that sets the spacing starts from the files' own voxels; any other one
        # keeps the field of view and changes the voxels.
        array, _ = load_patient(
            self._images,
            volumes,
            self._modalities,
            None if self._native else self._size,
            fit="resample",
            verify=True,
        )
        first = volumes[0]
        x, y, z = (
            voxels * mm / now
            for voxels, mm, now in zip(
                first.shape, first.spacing, array.shape[1:], strict=True
            )
        )
        fixed = self._fixed(array, (x, y, z))
        same = fixed.shape[1:] == tuple(self._size)
        return fixed if same else pad_or_crop(fixed, self._size)

    @staticmethod
    def _write(path: Path, values: Floats) -> None:
        """Store a patient's volumes and their checksum, whole or not at all."""
        fits = bool(np.abs(values).max(initial=0.0) <= HALF_UP_TO)
        data = values.astype(np.float16 if fits else np.float32).tobytes()
        check = zlib.crc32(data).to_bytes(4, "little")
        write_private(path, data + check, durable=False)


def _cache_for(job: Job, plan: TrainingPlan) -> _Cache:
    """Return the cache of a dataset under a plan's fixed preprocessing."""
    return _Cache(Path(job.cache) if job.cache else cache_folder(job, plan), job, plan)


def nobody(problem: str, least: int) -> DatasetError:
    """Return the error of a part of the split in which nobody has an outcome.

    Parameters
    ----------
    problem
        For the owner.
    least
        The threshold: where there is one, nobody is told like few (rule 15).
    """
    error = DatasetError([problem])
    if least > 1:
        error.cause = "disclosure"
    return error


def _fixed_of(plan: TrainingPlan) -> list[TransformSpec]:
    """Return the plan's transforms whose result is cached."""
    return [spec for spec in named(plan.transforms) if not ALLOWED[spec.name].random]


def _by_patient(manifest: Manifest) -> dict[str, tuple[VolumeFile, ...]]:
    volumes: dict[str, tuple[VolumeFile, ...]] = {}
    for volume in manifest.volumes:
        volumes[volume.patient] = (*volumes.get(volume.patient, ()), volume)
    return volumes


def _labels(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return labels 0, 1, or NaN where a patient has none."""
    odd = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
    if odd.size:
        raise DatasetError(
            f"column {column.name!r}, row {row + 1}: {values[row]:g} is not 0 or 1"
            for row in odd.tolist()
        )
    return values


def _times(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return follow-up times, NaN where a patient has none."""
    negative = np.flatnonzero(values < 0)
    if negative.size:
        raise DatasetError(
            f"column {column.name!r}, row {row + 1}: a time of {values[row]:g}"
            for row in negative.tolist()
        )
    return values


def _scaled(column: Column, values: NDArray[np.float64]) -> Floats:
    """Return a covariate on -1..1 over its declared bounds; missing is the middle.

    The contract declares the bounds for all sites, so nothing has to be agreed on.
    """
    middle = (column.lower + column.upper) / 2
    half = max((column.upper - column.lower) / 2, 1e-12)
    scaled = np.clip((values - middle) / half, -1.0, 1.0)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)

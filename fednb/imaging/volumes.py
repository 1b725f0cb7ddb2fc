"""Load one patient's modalities as one array, as the manifest lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fednb.errors import DatasetError
from fednb.imaging.resample import pad_or_crop, resample
from fednb.imaging.sources import read_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fednb.records.datasets import VolumeFile

Fit = Literal["crop", "resample"]


def load_patient(
    images: Path,
    volumes: Sequence[VolumeFile],
    modalities: Sequence[str],
    size: tuple[int, int, int] | None = None,
    *,
    fit: Fit = "crop",
    verify: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stack a patient's modalities in the order of the model's input.

    Parameters
    ----------
    images
        The dataset's image folder.
    volumes
        The manifest's entries of one patient, in any order.
    modalities
        The channels; one that the patient lacks is filled with 0.
    size
        Voxels along each axis; by default those of the files.
    fit
        ``"crop"`` crops or zero-pads about the centre, ``"resample"`` keeps the field
        of view and changes the voxels.
    verify
        Compare each file's SHA-256 with the manifest.

    Returns
    -------
    array : numpy.ndarray
        (C, X, Y, Z), float32, RAS.
    available : numpy.ndarray
        (C,), bool: which modalities the patient has.

    Raises
    ------
    DatasetError
        A file is unreadable, was changed since the registration, does not fit the
        others, or the patient has none of the modalities.
    """
    by_modality = {one.modality: one for one in volumes}
    available = np.array([name in by_modality for name in modalities], dtype=bool)
    if not available.any():
        have = ", ".join(sorted(by_modality)) or "nothing"
        who = volumes[0].patient if volumes else "a patient"
        problem = f"{who}: has {have}, none of {', '.join(modalities)}"
        raise DatasetError([problem])
    chosen = [by_modality[name] for name in modalities if name in by_modality]
    shape = chosen[0].shape
    out = np.zeros((len(modalities), *shape), dtype=np.float32)
    for channel, one in zip(np.flatnonzero(available), chosen, strict=True):
        out[channel] = _load(images, one, shape, verify=verify)
    if size is not None:
        out = resample(out, size) if fit == "resample" else pad_or_crop(out, size)
    return out, available


def _load(
    images: Path, one: VolumeFile, shape: tuple[int, int, int], *, verify: bool
) -> NDArray[np.float32]:
    """Read one file and hold it against its line of the manifest."""
    hashed = read_source(images / one.path)
    if verify and hashed.sha256 != one.sha256:
        problem = f"{one.path}: was changed since the registration; register it again"
        raise DatasetError([problem])
    data = hashed.volume.data
    if data.shape != shape:
        problem = f"{one.path}: shape {data.shape} where {shape} was registered"
        raise DatasetError([problem])
    return data

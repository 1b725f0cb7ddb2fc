"""Read volumes from NIfTI files in RAS, or say why not; `dicom` reads series.

A hospital's file is never trusted: sizes are taken from the header and capped before
anything is decompressed, and every failure is a `DatasetError` that names the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import DatasetError, InputError
from fednb.imaging.headers import HEADER_BYTES, header_of, nibabel_headers
from fednb.imaging.orientation import to_ras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fednb.imaging.headers import VolumeHeader


@dataclass(frozen=True)
class Volume:
    """One volume in RAS order.

    Attributes
    ----------
    data
        Voxels, (X, Y, Z), float32, rescaled to the file's own units.
    spacing
        Millimetres a voxel along each axis, (3,).
    affine
        Voxel to world in mm, (4, 4), float64.
    """

    data: NDArray[np.float32]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class HashedVolume:
    """A volume, and what its file is: one of NIfTI, or a folder of DICOM slices.

    Attributes
    ----------
    volume
        Its shape and spacing are those of the manifest.
    oriented
        Whether the file says which way is up; if not, nibabel's guess is used.
    bytes, sha256
        Size and hash of the file, or of all files of the folder.
    """

    volume: Volume
    oriented: bool
    bytes: int
    sha256: str


def read_volume(path: Path) -> Volume:
    """Read one NIfTI file (``.nii`` or ``.nii.gz``) in RAS order.

    Raises
    ------
    DatasetError
        The file is missing, truncated, not NIfTI, not three-dimensional, without a
        usable orientation or spacing, or holds voxels that are not finite.
    """
    return read_hashed(path).volume


def read_hashed(path: Path) -> HashedVolume:
    """Read a NIfTI file once, for its voxels and for its hash.

    Raises
    ------
    DatasetError
        As for `read_volume`.
    """
    raw = _file_bytes(path)
    header, data = _unpack(raw, path)
    volume = _voxels(header, data, path)
    digest = hashlib.sha256(raw).hexdigest()
    return HashedVolume(volume, header.oriented, len(raw), digest)


def write_nifti(
    path: Path,
    data: NDArray[Any],
    spacing: tuple[float, float, float],
    *,
    slope: float | None = None,
) -> None:
    """Write a volume as int16 NIfTI with a scale, centred on the origin, in RAS.

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    data
        Finite numbers, (X, Y, Z).
    spacing
        Millimetres a voxel.
    slope
        One step of the stored integers in the units of `data`; values survive to half
        of it. By default the smallest power of two that holds every value.

    Raises
    ------
    InputError
        The data are not a finite volume, or `slope` is too small for them.
    """
    peak = _peak(data)
    if slope is None:
        slope = 2.0 ** math.ceil(math.log2(peak / 32767.0)) if peak > 0 else 1.0
    if not (slope > 0 and peak / slope < 32767.5):
        message = f"Slope {slope} cannot store values up to {peak:g} as int16."
        raise InputError(message)
    x, y, z = data.shape
    body = np.rint(data * np.float32(1.0 / slope)).astype("<i2").tobytes(order="F")
    content = _nifti_header((x, y, z), spacing, slope) + body
    if path.name.endswith(".gz"):
        # No time stamp: the same volume gives the same bytes.
        content = gzip.compress(content, compresslevel=1, mtime=0)
    path.write_bytes(content)


def _peak(data: NDArray[Any]) -> float:
    """Return the largest magnitude of a finite volume."""
    if data.ndim != 3 or data.size == 0:
        message = f"A volume has three axes; data of shape {data.shape} were given."
        raise InputError(message)
    peak = float(np.max(np.abs(data)))
    if not math.isfinite(peak):
        message = "A volume with NaN or infinite voxels cannot be written."
        raise InputError(message)
    return peak


@lru_cache(maxsize=64)
def _nifti_header(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], slope: float
) -> bytes:
    """Return the 352 bytes before the voxels; building them is slow, hence cached."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2.0 for s, n in zip(spacing, shape, strict=True)]
    first, *_ = nibabel_headers()
    header: Any = first(endianness="<")
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_zooms(spacing)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_slope_inter(slope, 0.0)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return bytes(header.binaryblock) + bytes(4)


def _problem(path: Path, text: str) -> DatasetError:
    """Return the error that says which file and why."""
    return DatasetError([f"{path.parent.name}/{path.name}: {text}"])


def _file_bytes(path: Path) -> bytes:
    """Return a file's content."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise _problem(path, "is not .nii or .nii.gz")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _problem(path, f"cannot be read ({error.strerror})") from error


def _unpack(raw: bytes, path: Path) -> tuple[VolumeHeader, bytes]:
    """Return the header and the decompressed file, no longer than the header says."""
    if not path.name.endswith(".gz"):
        return _whole(_header(raw[:HEADER_BYTES], path), raw, path)
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        header = _header(_inflate(file, HEADER_BYTES, path), path)
        file.seek(0)
        # One byte more makes gzip reach its own check sum.
        return _whole(header, _inflate(file, header.end + 1, path), path)


def _whole(header: VolumeHeader, data: bytes, path: Path) -> tuple[VolumeHeader, bytes]:
    """Return both, unless voxels are missing."""
    if len(data) < header.end:
        text = f"is truncated: {len(data)} of {header.end} bytes; export it again"
        raise _problem(path, text)
    return header, data


def _inflate(file: gzip.GzipFile, limit: int, path: Path) -> bytes:
    """Return at most `limit` decompressed bytes."""
    try:
        return file.read(limit)
    except (OSError, EOFError, zlib.error) as error:
        text = f"is truncated or damaged ({error}); export it again"
        raise _problem(path, text) from error


def _header(start: bytes, path: Path) -> VolumeHeader:
    try:
        return header_of(start)
    except DatasetError as error:
        raise _problem(path, *error.problems) from error


def _voxels(header: VolumeHeader, data: bytes, path: Path) -> Volume:
    """Return the voxels as float32 in RAS."""
    flat = np.frombuffer(data, header.kind, header.voxels, header.offset)
    with np.errstate(over="ignore", invalid="ignore"):
        values = flat.astype(np.float32)
        if header.slope != 1.0:
            values *= np.float32(header.slope)
        if header.intercept:
            values += np.float32(header.intercept)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise _problem(path, f"has {bad} voxels that are NaN or infinite")
    volume = values.reshape(header.stored, order="F")
    turned = to_ras(volume, header.orientation)
    return Volume(turned, header.spacing, header.affine)

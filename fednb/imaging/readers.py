"""Read volumes from NIfTI files and DICOM series, in RAS, or say why not.

A hospital's file is never trusted: sizes are taken from the header and capped before
anything is decompressed, and every failure is a `DatasetError` that names the file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from fednb.errors import DatasetError, InputError
from fednb.imaging.orientation import orientation_of, to_ras

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    class _Header(Protocol):
        """What is used of nibabel's headers, which are not annotated."""

        def __getitem__(self, name: str) -> int: ...
        def get_data_shape(self) -> tuple[int, ...]: ...
        def get_data_dtype(self) -> np.dtype[Any]: ...
        def get_zooms(self) -> tuple[float, ...]: ...
        def get_best_affine(self) -> NDArray[np.float64]: ...
        def get_slope_inter(self) -> tuple[float | None, float | None]: ...


MAX_VOLUME_BYTES: Final = 2 * 2**30
"""A file that unpacks to more than this is refused."""

_HEADER_BYTES: Final = 544
_SMALL_SPACING: Final = 0.01
_LARGE_SPACING: Final = 100.0


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
class VolumeHeader:
    """What a file says about its volume, in RAS order.

    Attributes
    ----------
    shape
        Voxels along each axis.
    spacing
        Millimetres a voxel along each axis.
    oriented
        Whether the file says which way is up; if not, nibabel's guess is used.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    oriented: bool


@dataclass(frozen=True)
class HashedVolume:
    """A volume with its header, and the size and SHA-256 of its file."""

    volume: Volume
    header: VolumeHeader
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
    described = _describe(header, path)
    volume = _voxels(header, described, data, path)
    return HashedVolume(volume, described, len(raw), hashlib.sha256(raw).hexdigest())


def read_header(path: Path) -> VolumeHeader:
    """Read a NIfTI header without its voxels.

    Raises
    ------
    DatasetError
        The header is missing, broken, or says something unusable.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(64 * 1024)
    except OSError as error:
        raise _problem(path, f"cannot be read ({error.strerror})") from error
    return _describe(_header(_start(raw, path), path), path)


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


@lru_cache(maxsize=1)
def _nibabel() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """Return headers of NIfTI-1 and NIfTI-2, not annotated, and what they raise."""
    # imported here: most that a site or a coordinator serves reads no volume
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    errors = (HeaderDataError, WrapStructError, ValueError, KeyError)
    return nib.Nifti1Header, nib.Nifti2Header, errors


@lru_cache(maxsize=64)
def _nifti_header(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], slope: float
) -> bytes:
    """Return the 352 bytes before the voxels; building them is slow, hence cached."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-s * (n - 1) / 2.0 for s, n in zip(spacing, shape, strict=True)]
    first, *_ = _nibabel()
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


def _unpack(raw: bytes, path: Path) -> tuple[_Header, bytes]:
    """Return the header and the decompressed file, no longer than the header says."""
    packed = path.name.endswith(".gz")
    header = _header(_start(raw, path), path)
    need = _needed_bytes(header, path)
    try:
        # One byte more makes gzip reach its own check sum.
        data = _inflate(raw, need + 1) if packed else raw
    except (OSError, EOFError, zlib.error) as error:
        text = f"is truncated or damaged ({error}); export it again"
        raise _problem(path, text) from error
    if len(data) < need:
        text = f"is truncated: {len(data)} of {need} bytes; export it again"
        raise _problem(path, text)
    return header, data


def _start(raw: bytes, path: Path) -> bytes:
    """Return the first bytes of a file, decompressed: enough for any header."""
    if not path.name.endswith(".gz"):
        return raw[:_HEADER_BYTES]
    try:
        return _inflate(raw, _HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        text = f"is truncated or not gzip ({error}); export it again"
        raise _problem(path, text) from error


def _inflate(raw: bytes, limit: int) -> bytes:
    """Return at most `limit` decompressed bytes."""
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        return file.read(limit)


def _header(start: bytes, path: Path) -> _Header:
    """Return nibabel's header of NIfTI-1 or NIfTI-2 bytes."""
    if len(start) < 348:
        raise _problem(path, f"is truncated: {len(start)} bytes, a header has 348")
    second = struct.unpack("<i", start[:4])[0] in {540, 469893120}
    first, other, errors = _nibabel()
    kind, size = (other, 540) if second else (first, 348)
    try:
        header: _Header = kind(start[:size])
    except errors as error:
        raise _problem(path, f"is not a readable NIfTI file ({error})") from error
    return header


def _needed_bytes(header: _Header, path: Path) -> int:
    """Return how many bytes the header promises, capped before any is unpacked."""
    shape = tuple(int(n) for n in header.get_data_shape())
    count = math.prod(shape)
    if count < 1 or min(shape, default=0) < 1:
        raise _problem(path, f"has no voxels: shape {shape}")
    need = int(header["vox_offset"]) + count * header.get_data_dtype().itemsize
    if need > MAX_VOLUME_BYTES:
        text = f"unpacks to {need} bytes, above the cap of {MAX_VOLUME_BYTES}"
        raise _problem(path, text)
    return need


def _orientation(header: _Header, path: Path) -> NDArray[np.float64]:
    """Return nibabel's orientation array, or refuse an affine that has none."""
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    orientation = orientation_of(affine)
    if orientation is None:
        raise _problem(path, f"has no orientation in RAS: affine {affine.tolist()}")
    return orientation


def _describe(header: _Header, path: Path) -> VolumeHeader:
    """Check shape, spacing and orientation, and return them in RAS order."""
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3:
        text = f"has {len(shape)} axes, shape {shape}; a volume has three"
        raise _problem(path, text)
    spacing = tuple(abs(float(s)) for s in header.get_zooms()[:3])
    if not all(_SMALL_SPACING <= s <= _LARGE_SPACING for s in spacing):
        text = f"has spacing {spacing} mm; {_SMALL_SPACING} to {_LARGE_SPACING} is sane"
        raise _problem(path, text)
    order = np.argsort(_orientation(header, path)[:, 0])
    oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    x, y, z = (int(i) for i in order)
    return VolumeHeader(
        shape=(shape[x], shape[y], shape[z]),
        spacing=(spacing[x], spacing[y], spacing[z]),
        oriented=oriented,
    )


def _voxels(
    header: _Header, described: VolumeHeader, data: bytes, path: Path
) -> Volume:
    """Return the voxels as float32 in RAS."""
    kind = header.get_data_dtype()
    if kind.kind not in "iuf":
        raise _problem(path, f"has voxels of type {kind}; numbers are needed")
    shape = tuple(int(n) for n in header.get_data_shape())
    flat = np.frombuffer(
        data, kind, count=math.prod(shape), offset=int(header["vox_offset"])
    )
    slope, inter = header.get_slope_inter()
    with np.errstate(over="ignore", invalid="ignore"):
        values = flat.astype(np.float32)
        if slope not in {None, 1.0}:
            values *= np.float32(slope)
        if inter:
            values += np.float32(inter)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise _problem(path, f"has {bad} voxels that are NaN or infinite")
    volume = values.reshape(shape[:3], order="F")
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    turned, ras = to_ras(volume, affine, _orientation(header, path))
    return Volume(turned, described.spacing, ras)

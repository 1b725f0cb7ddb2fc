"""What a NIfTI header says of a volume, checked before anything is decompressed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from fednb.errors import DatasetError
from fednb.imaging.orientation import affine_in_ras, orientation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    class _Nibabel(Protocol):
        """What is used of nibabel's headers, which are not annotated."""

        def __getitem__(self, name: str) -> int: ...
        def get_data_shape(self) -> tuple[int, ...]: ...
        def get_data_dtype(self) -> np.dtype[Any]: ...
        def get_zooms(self) -> tuple[float, ...]: ...
        def get_best_affine(self) -> NDArray[np.float64]: ...
        def get_slope_inter(self) -> tuple[float | None, float | None]: ...


MAX_VOLUME_BYTES: Final = 2 * 2**30
"""A file that unpacks to more than this is refused."""

HEADER_BYTES: Final = 540
"""Of NIfTI-2; NIfTI-1 has fewer."""

_FIRST_BYTES: Final = 348
_SECOND: Final = frozenset({540, 469893120})
"""How NIfTI-2 begins, in either order of bytes."""

_SMALL_SPACING: Final = 0.01
_LARGE_SPACING: Final = 100.0


@dataclass(frozen=True)
class VolumeHeader:
    """What a file says about its volume.

    Attributes
    ----------
    shape
        Voxels along each axis, in RAS order.
    spacing
        Millimetres a voxel along each axis, in RAS order.
    oriented
        Whether the file says which way is up; if not, nibabel's guess is used.
    stored
        Voxels along each axis as they lie in the file, first axis fastest.
    kind
        Of a stored number.
    offset
        Bytes before the voxels.
    slope, intercept
        From stored numbers to the file's own units.
    orientation
        Of the stored axes, as nibabel gives it, (3, 2), not writable.
    affine
        Voxel in RAS order to world in mm, (4, 4), float64, not writable.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    oriented: bool
    stored: tuple[int, int, int]
    kind: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    orientation: NDArray[np.float64]
    affine: NDArray[np.float64]

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.stored)

    @property
    def end(self) -> int:
        """Bytes of the file, decompressed, as far as its voxels go."""
        return self.offset + self.voxels * self.kind.itemsize


def header_of(start: bytes) -> VolumeHeader:
    """Return what the first bytes of a file say, decompressed.

    Parameters
    ----------
    start
        At least `HEADER_BYTES`, or the whole of a shorter file.

    Raises
    ------
    DatasetError
        The header is cut off, broken, or says something unusable. The one problem
        names no file.
    """
    if len(start) < _FIRST_BYTES:
        found = f"{len(start)} bytes, a header has {_FIRST_BYTES}"
        raise DatasetError([f"is truncated: {found}"])
    second = struct.unpack("<i", start[:4])[0] in _SECOND
    return _parsed(bytes(start[: HEADER_BYTES if second else _FIRST_BYTES]))


@lru_cache(maxsize=1024)
def _parsed(block: bytes) -> VolumeHeader:
    """Read a header's bytes once: a scanner repeats itself, and nibabel is slow."""
    first, second, errors = nibabel_headers()
    kind = second if len(block) == HEADER_BYTES else first
    try:
        header: _Nibabel = kind(block)
    except errors as error:
        message = f"is not a readable NIfTI file ({error})"
        raise DatasetError([message]) from error
    stored, spacing = _sizes(header)
    number = header.get_data_dtype()
    if number.kind not in "iuf":
        raise DatasetError([f"has voxels of type {number}; numbers are needed"])
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    orientation = orientation_of(affine)
    if orientation is None:
        raise DatasetError([f"has no orientation in RAS: affine {affine.tolist()}"])
    in_ras = affine_in_ras(affine, orientation, stored)
    in_ras.setflags(write=False)
    x, y, z = (int(i) for i in np.argsort(orientation[:, 0]))
    slope, intercept = header.get_slope_inter()
    return VolumeHeader(
        shape=(stored[x], stored[y], stored[z]),
        spacing=(spacing[x], spacing[y], spacing[z]),
        oriented=int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0,
        stored=stored,
        kind=number,
        offset=int(header["vox_offset"]),
        slope=1.0 if slope is None else float(slope),
        intercept=float(intercept or 0.0),
        orientation=orientation,
        affine=in_ras,
    )


def _sizes(header: _Nibabel) -> tuple[tuple[int, int, int], tuple[float, ...]]:
    """Return voxels and millimetres along each stored axis; cap what is unpacked."""
    shape = tuple(int(n) for n in header.get_data_shape())
    if min(shape, default=0) < 1:
        raise DatasetError([f"has no voxels: shape {shape}"])
    size = header.get_data_dtype().itemsize
    need = int(header["vox_offset"]) + math.prod(shape) * size
    if need > MAX_VOLUME_BYTES:
        message = f"unpacks to {need} bytes, above the cap of {MAX_VOLUME_BYTES}"
        raise DatasetError([message])
    # a last axis of one time is none
    axes = shape[:3] if shape[3:] == (1,) else shape
    if len(axes) != 3:
        message = f"has {len(axes)} axes, shape {axes}; a volume has three"
        raise DatasetError([message])
    spacing = tuple(abs(float(mm)) for mm in header.get_zooms()[:3])
    if not all(_SMALL_SPACING <= mm <= _LARGE_SPACING for mm in spacing):
        sane = f"{_SMALL_SPACING} to {_LARGE_SPACING} is sane"
        raise DatasetError([f"has spacing {spacing} mm; {sane}"])
    return (axes[0], axes[1], axes[2]), spacing


@lru_cache(maxsize=1)
def nibabel_headers() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """Return headers of NIfTI-1 and NIfTI-2, not annotated, and what they raise."""
    # imported here: most that a site or a coordinator serves reads no volume
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    errors = (HeaderDataError, WrapStructError, ValueError, KeyError)
    return nib.Nifti1Header, nib.Nifti2Header, errors

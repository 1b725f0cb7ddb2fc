"""Read a DICOM series as one volume in RAS (extra ``dicom``).

Pixels, geometry and the rescaling of values are read; names of patients, dates and all
else that a header says is not looked at, and goes nowhere.
"""

from __future__ import annotations

import hashlib
import io
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fednb.errors import DatasetError, DependencyError
from fednb.imaging.headers import MAX_VOLUME_BYTES
from fednb.imaging.orientation import affine_in_ras, orientation_of, to_ras
from fednb.imaging.readers import HashedVolume, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

# A gap between slices that differs from the others by more than this share of the
# usual is a missing slice, not a rounding of the header.
_GAP: Final = 0.1

_INDEX: Final = "DICOMDIR"
"""A list of contents, which media carry beside their images."""


def read_dicom_series(folder: Path) -> Volume:
    """Read the slices of one series, sorted by position, rescaled, in RAS.

    Parameters
    ----------
    folder
        Holds the files of exactly one series of single-frame images.

    Raises
    ------
    DependencyError
        pydicom is not installed.
    DatasetError
        A file is not DICOM, the folder holds no or several series, a slice is
        missing, or a slice lacks its position.
    """
    return read_hashed_series(folder).volume


def read_hashed_series(folder: Path) -> HashedVolume:
    """Read every file of a series once, for its voxels and for the hash of all.

    Parameters
    ----------
    folder
        As for `read_dicom_series`.

    Raises
    ------
    DependencyError, DatasetError
        As for `read_dicom_series`.
    """
    pydicom = _pydicom()
    files = _file_bytes(folder)
    size = sum(len(raw) for raw in files.values())
    hashes = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    volume = _volume(_read_slices(folder, files, pydicom), folder)
    return HashedVolume(volume, oriented=True, bytes=size, sha256=series_hash(hashes))


def series_files(folder: Path) -> list[Path]:
    """Return the files of a series, by name: all that are not hidden."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name != _INDEX and not path.name.startswith(".")
    )


def series_hash(hashes: dict[str, str]) -> str:
    """Return the hash of a series, from those of its files by name.

    Parameters
    ----------
    hashes
        SHA-256 by file name, in any order.
    """
    lines = "".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def _volume(slices: list[Any], folder: Path) -> Volume:
    """Put slices together: sorted, rescaled, turned to RAS."""
    problems = _series_problems(slices)
    if problems:
        where = _where(folder)
        raise DatasetError(f"{where}: {text}" for text in problems)
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column)
    slices.sort(key=lambda one: float(normal @ _position(one)))
    step = _step(slices, normal, folder)
    data = np.stack([_pixels(one, folder) for one in slices], axis=-1)
    between = np.array(slices[0].PixelSpacing, float)
    lps = np.eye(4)
    # Array axes are (row, column, slice): moving down a row follows the column's
    # direction cosine, and PixelSpacing gives the distance of rows first.
    lps[:3, 0] = column * between[0]
    lps[:3, 1] = row * between[1]
    lps[:3, 2] = normal * step
    lps[:3, 3] = _position(slices[0])
    return _to_ras(data, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, folder)


def _where(folder: Path) -> str:
    """Name a series as its owner knows it: the patient's folder, and its own."""
    return f"{folder.parent.name}/{folder.name}"


def _pydicom() -> ModuleType:
    """Import pydicom, or say which extra has it."""
    try:
        return import_module("pydicom")
    except ImportError as error:
        raise DependencyError("pydicom", "dicom") from error


def _file_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, no more together than a volume may have."""
    paths = series_files(folder)
    where = _where(folder)
    if not paths:
        raise DatasetError([f"{where}: no such folder, or it holds no files"])
    try:
        size = sum(path.stat().st_size for path in paths)
        if size > MAX_VOLUME_BYTES:
            text = f"has {size} bytes; at most {MAX_VOLUME_BYTES} are read"
            raise DatasetError([f"{where}: {text}"])
        return {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise DatasetError([f"{where}: cannot be read ({error.strerror})"]) from error


def _read_slices(
    folder: Path, files: dict[str, bytes], pydicom: ModuleType
) -> list[Any]:
    """Parse every file of the folder."""
    slices, problems = [], []
    for name, raw in files.items():
        try:
            one = pydicom.dcmread(io.BytesIO(raw))
        except (pydicom.errors.InvalidDicomError, OSError, EOFError) as error:
            problems.append(f"{_where(folder)}/{name}: is not DICOM ({error})")
            continue
        one.filename = str(folder / name)
        slices.append(one)
    if problems:
        raise DatasetError(problems)
    return slices


def _series_problems(slices: Sequence[Any]) -> list[str]:
    """Return what keeps these files from being one volume."""
    needed = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    for name in (*needed, "Rows", "Columns", "PixelData"):
        missing = sum(not hasattr(one, name) for one in slices)
        if missing:
            return [f"{missing} of {len(slices)} files have no {name}"]
    frames = max(int(getattr(one, "NumberOfFrames", 1) or 1) for one in slices)
    if frames > 1:
        text = (
            f"a file holds {frames} frames; export single frames, or convert to NIfTI"
        )
        return [text]
    voxels = len(slices) * int(slices[0].Rows) * int(slices[0].Columns)
    if 4 * voxels > MAX_VOLUME_BYTES:
        return [f"{voxels} voxels are more than can be read"]
    problems = []
    for name in ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing"):
        seen = {str(getattr(one, name, "")) for one in slices}
        if len(seen) > 1:
            problems.append(f"{len(seen)} different values of {name}; one is needed")
    turned = [np.array(one.ImageOrientationPatient, float) for one in slices]
    if any(np.abs(one - turned[0]).max() > 1e-3 for one in turned):
        problems.append("the slices are not parallel")
    return problems


def _position(one: Any) -> NDArray[np.float64]:  # noqa: ANN401  pydicom is untyped
    """Return a slice's position in mm, LPS."""
    return np.array(one.ImagePositionPatient, dtype=np.float64)


def _step(slices: Sequence[Any], normal: NDArray[np.float64], folder: Path) -> float:
    """Return the distance of slices in mm, or refuse a gap or a double."""
    if len(slices) == 1:
        return float(getattr(slices[0], "SliceThickness", 1.0) or 1.0)
    places = np.array([normal @ _position(one) for one in slices])
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    if usual <= 0 or np.abs(gaps - usual).max() > _GAP * usual:
        seen = f"gaps {gaps.min():.2f} to {gaps.max():.2f} mm"
        raise DatasetError([f"{_where(folder)}: slices are missing or doubled: {seen}"])
    return usual


def _pixels(one: Any, folder: Path) -> NDArray[np.float32]:  # noqa: ANN401  pydicom
    """Return a slice's pixels in the scanner's units."""
    where = f"{_where(folder)}/{Path(one.filename).name}"
    try:
        pixels = np.asarray(one.pixel_array, dtype=np.float32)
        slope = float(getattr(one, "RescaleSlope", 1.0))
        intercept = float(getattr(one, "RescaleIntercept", 0.0))
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        text = f"pixels unreadable ({error}); export it again"
        raise DatasetError([f"{where}: {text}"]) from error
    if pixels.ndim != 2:
        text = f"has pixels of shape {pixels.shape}; single grey frames are needed"
        raise DatasetError([f"{where}: {text}"])
    with np.errstate(over="ignore", invalid="ignore"):
        values = pixels * np.float32(slope) + np.float32(intercept)
    if not np.isfinite(values).all():
        raise DatasetError([f"{where}: has voxels that are NaN or infinite"])
    return values


def _to_ras(
    data: NDArray[np.float32], affine: NDArray[np.float64], folder: Path
) -> Volume:
    """Turn an array with its affine to RAS."""
    orientation = orientation_of(affine)
    if orientation is None:
        raise DatasetError([f"{_where(folder)}: spacing or orientation is not usable"])
    turned = to_ras(data, orientation)
    ras = affine_in_ras(affine, orientation, data.shape)
    x, y, z = (float(v) for v in np.linalg.norm(ras[:3, :3], axis=0))
    return Volume(turned, (x, y, z), ras)

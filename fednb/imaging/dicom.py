"""Read a DICOM series as one volume in RAS (extra ``dicom``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import DatasetError, DependencyError
from fednb.imaging.orientation import affine_in_ras, orientation_of, to_ras
from fednb.imaging.readers import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

# A gap between slices that differs from the others by more than this share of the
# usual is a missing slice, not a rounding of the header.
_GAP = 0.1


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
    slices = _read_slices(folder, _pydicom())
    problems = _series_problems(slices)
    if problems:
        raise DatasetError(f"{folder.name}: {text}" for text in problems)
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


def _pydicom() -> ModuleType:
    """Import pydicom, or say which extra has it."""
    try:
        return import_module("pydicom")
    except ImportError as error:
        raise DependencyError("pydicom", "dicom") from error


def _read_slices(folder: Path, pydicom: ModuleType) -> list[Any]:
    """Read every file of the folder."""
    slices, problems = [], []
    paths = (
        sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
    )
    for path in paths:
        try:
            slices.append(pydicom.dcmread(path))
        except (pydicom.errors.InvalidDicomError, OSError, EOFError) as error:
            problems.append(f"{folder.name}/{path.name}: is not DICOM ({error})")
    if not paths:
        problems.append(f"{folder.name}: no such folder, or it holds no files")
    if problems:
        raise DatasetError(problems)
    return slices


def _series_problems(slices: Sequence[Any]) -> list[str]:
    """Return what keeps these files from being one volume."""
    needed = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    for name in (*needed, "PixelData"):
        missing = sum(not hasattr(one, name) for one in slices)
        if missing:
            return [f"{missing} of {len(slices)} files have no {name}"]
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
        raise DatasetError([f"{folder.name}: slices are missing or doubled: {seen}"])
    return usual


def _pixels(one: Any, folder: Path) -> NDArray[np.float32]:  # noqa: ANN401  pydicom
    """Return a slice's pixels in the scanner's units."""
    try:
        pixels = np.asarray(one.pixel_array, dtype=np.float32)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DatasetError([f"{folder.name}: pixels unreadable ({error})"]) from error
    if pixels.ndim != 2:
        text = f"a file has pixels of shape {pixels.shape}; single frames are needed"
        raise DatasetError([f"{folder.name}: {text}"])
    slope = float(getattr(one, "RescaleSlope", 1.0))
    return pixels * np.float32(slope) + np.float32(
        getattr(one, "RescaleIntercept", 0.0)
    )


def _to_ras(
    data: NDArray[np.float32], affine: NDArray[np.float64], folder: Path
) -> Volume:
    """Turn an array with its affine to RAS."""
    orientation = orientation_of(affine)
    if orientation is None:
        raise DatasetError([f"{folder.name}: spacing or orientation is not usable"])
    turned = to_ras(data, orientation)
    ras = affine_in_ras(affine, orientation, data.shape)
    x, y, z = (float(v) for v in np.linalg.norm(ras[:3, :3], axis=0))
    return Volume(turned, (x, y, z), ras)

"""What a volume lies in: one NIfTI file, or a folder with the slices of one series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.imaging.dicom import read_hashed_series, series_files, series_hash
from fednb.imaging.readers import read_hashed
from fednb.records.base import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.imaging.readers import HashedVolume


def read_source(path: Path) -> HashedVolume:
    """Read a volume where it lies, for its voxels and for its hash.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file, or a folder with one DICOM series.

    Raises
    ------
    DatasetError
        It is damaged, or is no volume; names the file.
    DependencyError
        It is a folder, and pydicom is not installed.
    """
    return read_hashed_series(path) if path.is_dir() else read_hashed(path)


def source_sha256(path: Path) -> str:
    """Return the hash that `read_source` gives, without looking at voxels.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    if not path.is_dir():
        return file_sha256(path)
    return series_hash({one.name: file_sha256(one) for one in series_files(path)})

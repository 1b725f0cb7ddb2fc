"""DICOM series on disk, written by pydicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "Doe^Jane"
"""The patient's name in every header: it must turn up nowhere."""


def write_series(
    folder: Path, data: NDArray[np.uint16], spacing: tuple[float, float, float]
) -> None:
    """Write a volume in RAS order as one axial series, a file a slice.

    Parameters
    ----------
    folder
        Made here.
    data
        (X, Y, Z), whole numbers below 2^16.
    spacing
        Millimetres a voxel.
    """
    folder.mkdir(parents=True)
    series = generate_uid(entropy_srcs=[str(folder)])
    x, y, z = spacing
    for k in range(data.shape[2]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(k)])
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID = meta.MediaStorageSOPClassUID
        one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        one.SeriesInstanceUID, one.PatientName = series, NAME
        # rows go to the back and columns to the left: RAS reversed in x and in y
        pixels = data[::-1, ::-1, k].T
        one.Rows, one.Columns = pixels.shape
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.PixelSpacing = [y, x]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [0.0, 0.0, z * k]
        one.PixelData = pixels.astype("<u2").tobytes()
        # names that sort against the positions
        name = f"{data.shape[2] - k:03d}.dcm"
        one.save_as(folder / name, enforce_file_format=True)

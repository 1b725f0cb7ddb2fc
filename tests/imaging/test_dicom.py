"""A DICOM series becomes one volume in RAS."""

from __future__ import annotations

import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from fednb.errors import DatasetError, DependencyError
from fednb.imaging.dicom import read_dicom_series
from fednb.imaging.sources import read_source, source_sha256

SERIES = generate_uid(entropy_srcs=["series"])


def _slice(folder, number, pixels, **changes):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID = meta.MediaStorageSOPClassUID
    one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID = SERIES
    one.Rows, one.Columns = pixels.shape
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 0
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.PixelSpacing = [2.0, 1.0]
    one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    one.ImagePositionPatient = [0.0, 0.0, 3.0 * number]
    one.RescaleSlope, one.RescaleIntercept = 2.0, -1.0
    one.PixelData = pixels.astype("<u2").tobytes()
    for name, value in changes.items():
        setattr(one, name, value)
    # Names that sort against the positions.
    one.save_as(folder / f"{9 - number}.dcm", enforce_file_format=True)


@pytest.fixture
def stack() -> np.ndarray:
    """Rows (to the back), columns (to the left), slices (up)."""
    return np.arange(4 * 3 * 5).reshape(4, 3, 5)


def test_sorted_rescaled_and_in_ras(tmp_path, stack):
    for k in range(5):
        _slice(tmp_path, k, stack[:, :, k])
    volume = read_dicom_series(tmp_path)
    expected = 2.0 * stack.transpose(1, 0, 2)[::-1, ::-1, :] - 1.0
    assert np.array_equal(volume.data, expected)
    assert volume.spacing == (1.0, 2.0, 3.0)
    # The first pixel lies at the LPS origin, which is the last voxel in RAS.
    assert np.allclose(volume.affine @ [2, 3, 0, 1], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ImagePositionPatient": [0.0, 0.0, 20.0]}, "slices are missing or doubled"),
        ({"SeriesInstanceUID": "1.2.3"}, "2 different values of SeriesInstanceUID"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "slices are not parallel"),
        ({"ImagePositionPatient": None}, "no position"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path, stack, changes, message):
    for k in range(5):
        _slice(tmp_path, k, stack[:, :, k], **(changes if k == 4 else {}))
    if message == "no position":
        path = tmp_path / "5.dcm"
        one = pydicom.dcmread(path)
        del one.ImagePositionPatient
        one.save_as(path)
        message = "1 of 5 files have no ImagePositionPatient"
    with pytest.raises(DatasetError, match=message):
        read_dicom_series(tmp_path)


def test_other_files_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DatasetError, match=r"notes\.txt: is not DICOM"):
        read_dicom_series(tmp_path)


def test_frames_and_colours_and_cut_slices_are_named(tmp_path, stack):
    for name, changes in (
        ("frames", {"NumberOfFrames": "2"}),
        ("colour", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("cut", {"PixelData": b"\0\0"}),
        ("scale", {"RescaleSlope": "1e60"}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        _slice(folder, 0, stack[:, :, 0], **changes)
    expected = {
        "frames": "a file holds 2 frames; export single frames",
        "colour": r"colour/9\.dcm: pixels unreadable",
        "cut": r"cut/9\.dcm: pixels unreadable .*; export it again",
        "scale": r"scale/9\.dcm: has voxels that are NaN or infinite",
    }
    for name, message in expected.items():
        with pytest.raises(DatasetError, match=message):
            read_dicom_series(tmp_path / name)


def test_a_series_hash_is_of_names_and_contents(tmp_path, stack):
    for k in range(5):
        _slice(tmp_path, k, stack[:, :, k])
    (tmp_path / "DICOMDIR").write_text("a list of contents")
    (tmp_path / ".hidden").write_text("")
    read = read_source(tmp_path)
    assert read.sha256 == source_sha256(tmp_path)
    assert read.bytes == sum(one.stat().st_size for one in tmp_path.glob("*.dcm"))
    (tmp_path / "9.dcm").rename(tmp_path / "8a.dcm")
    assert source_sha256(tmp_path) != read.sha256


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match="no such folder, or it holds no files"):
        read_dicom_series(tmp_path)


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DependencyError, match=r"fednb\[dicom\]"):
        read_dicom_series(tmp_path)

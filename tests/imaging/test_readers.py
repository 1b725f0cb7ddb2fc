"""Volumes come back in RAS as written, and broken files say which and why."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import DatasetError, InputError
from fednb.imaging import headers
from fednb.imaging.readers import read_hashed, read_volume, write_nifti
from fednb.records.base import sha256_hex


@pytest.fixture
def volume() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(1.0, 0.5, (5, 6, 7)).astype(np.float32)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_write_and_read(tmp_path, volume, name):
    path = tmp_path / name
    write_nifti(path, volume, (1.0, 2.0, 3.0), slope=1.0 / 1024.0)
    back = read_volume(path)
    assert back.data.dtype == np.float32
    assert np.abs(back.data - volume).max() <= 0.5 / 1024.0 + 1e-7
    assert back.spacing == (1.0, 2.0, 3.0)
    # The centre of the volume is the origin of the world.
    middle = back.affine @ [2.0, 2.5, 3.0, 1.0]
    assert np.allclose(middle, [0.0, 0.0, 0.0, 1.0])


def test_nibabel_reads_the_same(tmp_path, volume):
    path = tmp_path / "v.nii.gz"
    write_nifti(path, volume, (1.0, 2.0, 3.0))
    ours, theirs = read_volume(path), nib.load(path)
    assert np.allclose(ours.data, theirs.get_fdata(), atol=1e-6)
    assert np.allclose(ours.affine, theirs.affine)


def test_the_same_volume_gives_the_same_bytes(tmp_path, volume):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, volume, (1.0, 1.0, 1.0))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_the_hash_is_of_the_file(tmp_path, volume):
    path = tmp_path / "v.nii.gz"
    write_nifti(path, volume, (1.0, 1.0, 1.0))
    hashed = read_hashed(path)
    assert hashed.sha256 == sha256_hex(path.read_bytes())
    assert hashed.bytes == path.stat().st_size


@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    kind=st.sampled_from(["<i2", ">i2", "<f4", "<u1", "<f8"]),
    second=st.booleans(),
)
def test_every_orientation_comes_back_in_ras(
    tmp_path_factory, axes, signs, kind, second
):
    data = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    affine = np.zeros((4, 4))
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, column] = sign * (axis + 1.0)
    affine[3, 3] = 1.0
    image = nib.Nifti2Image if second else nib.Nifti1Image
    path = tmp_path_factory.mktemp("ras") / "v.nii.gz"
    nib.save(image(data.astype(kind), affine), path)
    ours = read_volume(path)
    theirs = nib.as_closest_canonical(nib.load(path))
    assert np.array_equal(ours.data, theirs.get_fdata())
    assert np.allclose(ours.affine, theirs.affine)
    assert ours.spacing == (1.0, 2.0, 3.0)
    assert read_hashed(path).volume.spacing == ours.spacing


def _raw(path) -> bytes:
    return gzip.decompress(path.read_bytes())


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _short(path):
    path.write_bytes(_packed(_raw(path)[:-40]))


def _empty(path):
    path.write_bytes(b"")


def _noise(path):
    path.write_bytes(_packed(b"not a volume" * 100))


def _flipped_bit(path):
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(bytes(raw))


def _four_axes(path):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.int16), np.eye(4)), path)


def _nan(path):
    data = np.ones((3, 3, 3), np.float32)
    data[1, 1, 1], data[0, 0, 0] = np.nan, np.inf
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


def _bomb(path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((20000, 20000, 20000))
    path.write_bytes(_packed(bytes(header.binaryblock) + bytes(4)))


def _spacing(path):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.diag([500.0, 1, 1, 1]))
    nib.save(image, path)


def _singular(path):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.int16), np.eye(4))
    header = image.header
    for row in ("srow_x", "srow_y", "srow_z"):
        header[row] = [1.0, 0.0, 0.0, 0.0]
    header["sform_code"] = 1
    body = np.ones(27, "<i2").tobytes()
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(_packed(bytes(header.binaryblock) + bytes(4) + body))


def _colour(path):
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), kind), np.eye(4)), path)


@pytest.mark.parametrize(
    ("breach", "message"),
    [
        (_cut, "truncated or damaged"),
        (_short, "truncated: "),
        (_empty, "truncated"),
        (_noise, "not a readable NIfTI"),
        (_flipped_bit, "CRC check failed"),
        (_four_axes, "has 4 axes, shape (3, 3, 3, 2)"),
        (_nan, "has 2 voxels that are NaN or infinite"),
        (_bomb, "above the cap of"),
        (_spacing, "has spacing (500.0, 1.0, 1.0) mm"),
        (_singular, "has no orientation in RAS"),
        (_colour, "numbers are needed"),
        (lambda path: path.unlink(), "cannot be read (No such file"),
    ],
)
def test_a_broken_file_says_which_and_why(tmp_path, volume, breach, message):
    path = tmp_path / "v.nii.gz"
    write_nifti(path, volume, (1.0, 1.0, 1.0))
    breach(path)
    with pytest.raises(DatasetError) as caught:
        read_volume(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path.name}/v.nii.gz: ")
    assert message in problem


def test_other_files_are_not_volumes(tmp_path):
    (tmp_path / "v.npy").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"v\.npy: is not \.nii or \.nii\.gz"):
        read_volume(tmp_path / "v.npy")


@pytest.mark.parametrize("data", [np.zeros((2, 2)), np.full((2, 2, 2), np.nan)])
def test_what_is_no_volume_is_not_written(tmp_path, data):
    with pytest.raises(InputError):
        write_nifti(tmp_path / "v.nii", data, (1.0, 1.0, 1.0))
    assert not list(tmp_path.iterdir())


def test_the_cap_holds_for_plain_files(tmp_path, volume, monkeypatch):
    # a header that was not read before: what it says is remembered, with the cap
    write_nifti(tmp_path / "v.nii", volume, (1.0, 1.0, 1.5))
    monkeypatch.setattr(headers, "MAX_VOLUME_BYTES", 100)
    with pytest.raises(DatasetError, match="unpacks to 772 bytes"):
        read_volume(tmp_path / "v.nii")

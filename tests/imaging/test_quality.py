"""The survey finds every planted breach, all at once, and says where."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fednb.errors import DatasetError
from fednb.imaging.quality import infer_columns, survey
from fednb.imaging.readers import write_nifti
from fednb.imaging.tables import read_table
from fednb.imaging.volumes import load_patient
from fednb.records.base import sha256_hex
from fednb.records.datasets import Column

COLUMNS = (
    Column(name="age", kind="number", unit="years", lower=18, upper=90, step=5),
    Column(name="sex", kind="category", levels=("F", "M")),
    Column(name="idh", kind="binary"),
    Column(name="os_months", kind="number", unit="months", lower=-5, upper=120),
)
PATIENTS = ("aa01", "bb02", "cc03", "1e10")
MODALITIES = ("T1c", "FLAIR")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pd.DataFrame(
        {
            "patient_id": PATIENTS,
            "age": [40, 50, 60, 70],
            "sex": ["F", "M", "F", "M"],
            "idh": [0, 1, 0, 1],
            "os_months": [1.5, 2.5, 3.5, 4.5],
        }
    ).to_csv(tmp_path / "table.csv", index=False)
    for patient in PATIENTS:
        (tmp_path / "images" / patient).mkdir(parents=True)
        for modality in MODALITIES:
            data = rng.random((4, 5, 6), dtype=np.float32)
            path = tmp_path / "images" / patient / f"{modality}.nii.gz"
            write_nifti(path, data, (1.0, 2.0, 3.0))
    return tmp_path


def run(folder, **changes):
    options = {
        "columns": COLUMNS,
        "dataset": "glioma",
        "modalities": MODALITIES,
        "expected_labels": ("idh",),
        **changes,
    }
    return survey(folder / "images", folder / "table.csv", **options)


def test_a_sound_dataset(folder):
    found = run(folder)
    manifest = found.manifest
    assert found.warnings == ()
    assert manifest.patients == PATIENTS
    assert manifest.modalities == MODALITIES
    assert manifest.columns == COLUMNS
    assert manifest.table_sha256 == sha256_hex((folder / "table.csv").read_bytes())
    assert len(manifest.volumes) == 8
    one = manifest.volumes[0]
    content = (folder / "images" / one.path).read_bytes()
    assert (one.patient, one.path) == ("aa01", "aa01/FLAIR.nii.gz")
    assert (one.sha256, one.bytes) == (sha256_hex(content), len(content))
    assert (one.shape, one.spacing) == ((4, 5, 6), (1.0, 2.0, 3.0))
    assert run(folder).manifest.fingerprint() == manifest.fingerprint()


def _edit(folder, row, column, value):
    frame = pd.read_csv(folder / "table.csv", dtype=str)
    frame.loc[row, column] = value
    frame.to_csv(folder / "table.csv", index=False)


def _cell(row, column, value):
    return lambda folder: _edit(folder, row, column, value)


def _volume(folder, data, affine=None):
    path = folder / "images" / "bb02" / "FLAIR.nii.gz"
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)


def _extra_folder(folder):
    (folder / "images" / "zz99").mkdir()


def _no_images(folder):
    for path in (folder / "images" / "bb02").iterdir():
        path.unlink()


def _unknown_modality(folder):
    path = folder / "images" / "bb02" / "FLAIR.nii.gz"
    path.rename(path.with_name("DWI.nii.gz"))


def _nobody(folder):
    for path in (folder / "images").glob("*/FLAIR.nii.gz"):
        path.unlink()


def _nan_voxel(folder):
    data = np.ones((4, 5, 6))
    data[0, 0, 0] = np.nan
    _volume(folder, data)


def _truncate(folder):
    path = folder / "images" / "bb02" / "FLAIR.nii.gz"
    os.truncate(path, path.stat().st_size // 2)


def _twice(folder):
    data = np.random.default_rng(1).random((4, 5, 6), dtype=np.float32)
    write_nifti(folder / "images" / "bb02" / "FLAIR.nii", data, (1.0, 2.0, 3.0))


def _many_levels(folder):
    _edit(folder, 0, "sex", "X" * 81)


BREACHES = {
    "duplicate patient": (
        _cell(1, "patient_id", "aa01"),
        ["duplicate patients: aa01", "images without a row in the table: bb02"],
    ),
    "no id": (_cell(1, "patient_id", ""), ["patient_id is missing in line 3"]),
    "id as path": (_cell(1, "patient_id", "../x"), ["cannot be folder names: ../x"]),
    "no images": (_no_images, ["patients without images: bb02"]),
    "no row": (_extra_folder, ["images without a row in the table: zz99"]),
    "unknown modality": (
        _unknown_modality,
        ["unknown modality DWI at bb02; declared: T1c, FLAIR"],
    ),
    "modality of nobody": (_nobody, ["no patient has modality FLAIR"]),
    "two files": (_twice, ["bb02: two files for FLAIR"]),
    "shape": (
        lambda f: _volume(f, np.random.default_rng(0).random((4, 4, 6))),
        ["bb02: shape or spacing differ"],
    ),
    "spacing": (
        lambda f: _volume(f, np.ones((4, 5, 6)), np.diag([0.001, 2.0, 3.0, 1.0])),
        ["bb02/FLAIR.nii.gz: has spacing (0.001"],
    ),
    "nan voxel": (_nan_voxel, ["bb02/FLAIR.nii.gz: has 1 voxels that are NaN"]),
    "empty volume": (
        lambda f: _volume(f, np.full((4, 5, 6), 7.0)),
        ["bb02/FLAIR.nii.gz: is empty, every voxel is 7"],
    ),
    "truncated": (_truncate, ["bb02/FLAIR.nii.gz: is truncated"]),
    "missing label": (_cell(2, "idh", ""), ["column idh: label missing for cc03"]),
    "binary of 2": (_cell(2, "idh", "2"), ["column idh: 2 outside 0 and 1, at cc03"]),
    "out of bounds": (
        _cell(2, "age", "17"),
        ["column age: 17 outside [18, 90], at cc03"],
    ),
    "no number": (
        _cell(2, "age", "old"),
        ["column age: old is no number, at cc03"],
    ),
    "infinite": (_cell(2, "age", "inf"), ["column age: inf is no number, at cc03"]),
    "level": (
        _cell(2, "sex", "D"),
        ["column sex: D not among the levels F, M"],
    ),
    "long label": (_many_levels, ["over 80 characters"]),
    "negative time": (
        _cell(2, "os_months", "-1"),
        ["column os_months: negative time for cc03"],
    ),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_found(folder, name):
    breach, expected = BREACHES[name]
    breach(folder)
    with pytest.raises(DatasetError) as caught:
        run(folder)
    for text in expected:
        assert any(text in problem for problem in caught.value.problems), (
            caught.value.problems
        )


def test_all_breaches_are_told_together(folder):
    for name in ("missing label", "out of bounds", "truncated", "no row"):
        BREACHES[name][0](folder)
    with pytest.raises(DatasetError) as caught:
        run(folder)
    assert len(caught.value.problems) == 4
    assert str(caught.value).startswith("The dataset has 4 problems:")


def test_a_missing_modality_is_a_warning(folder):
    (folder / "images" / "bb02" / "FLAIR.nii.gz").unlink()
    found = run(folder)
    assert found.warnings == ("1 of 4 patients have no FLAIR: bb02",)
    files = [v for v in found.manifest.volumes if v.patient == "bb02"]
    array, available = load_patient(folder / "images", files, MODALITIES)
    assert array.shape == (2, 4, 5, 6)
    assert available.tolist() == [True, False]
    assert (array[1] == 0).all()
    assert array[0].any()


def test_undeclared_columns_and_unknown_orientation_are_warnings(folder):
    path = folder / "images" / "bb02" / "FLAIR.nii.gz"
    image = nib.load(path)
    data = np.asarray(image.dataobj)
    image = nib.Nifti1Image(data.astype(np.float32), None)
    image.header.set_zooms((1.0, 2.0, 3.0))
    nib.save(image, path)
    found = run(folder, columns=COLUMNS[:3])
    assert "not declared are left out: os_months" in found.warnings[0]
    assert "bb02/FLAIR.nii.gz: says nothing of its orientation" in found.warnings[1]


def test_too_many_levels(folder):
    many = tuple(str(i) for i in range(41))
    columns = (Column(name="sex", kind="category", levels=(*many, "F", "M")),)
    with pytest.raises(DatasetError, match="column sex: 43 levels, at most 40"):
        run(folder, columns=columns)


def test_a_declared_column_must_exist(folder):
    with pytest.raises(DatasetError, match="column mgmt: declared, but not in"):
        run(folder, columns=(*COLUMNS, Column(name="mgmt", kind="binary")))


def test_a_table_alone(folder):
    found = survey(None, folder / "table.csv", COLUMNS, dataset="table")
    assert found.manifest.volumes == ()
    assert found.manifest.modalities == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,age\na,1\n", "has no column patient_id"),
        ("patient_id,age\n", "the table has no rows"),
        ('patient_id,age\n"a,1\nb,2,3\n', "is not a CSV table"),
    ],
)
def test_a_broken_table(tmp_path, content, message):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        survey(None, tmp_path / "table.csv", None, dataset="x")


def test_ids_that_look_like_numbers_stay_text(folder):
    frame = read_table(folder / "table.csv", COLUMNS)
    assert frame["patient_id"].tolist() == list(PATIENTS)
    assert frame["age"].dtype == float
    assert frame["sex"].tolist() == ["F", "M", "F", "M"]


def test_the_proposed_declaration_admits_its_table(folder):
    columns = infer_columns(pd.read_csv(folder / "table.csv"))
    kinds = {column.name: column.kind for column in columns}
    assert kinds == {
        "age": "number",
        "sex": "category",
        "idh": "binary",
        "os_months": "number",
    }
    age = columns[0]
    assert (age.lower, age.upper) == (30.0, 80.0)
    assert age.resolution == 1.0
    assert columns[3].lower >= 0
    assert run(folder, columns=None).manifest.columns == columns


def test_a_changed_file_is_noticed_when_loaded(folder):
    manifest = run(folder).manifest
    files = [v for v in manifest.volumes if v.patient == "aa01"]
    load_patient(folder / "images", files, MODALITIES, verify=True)
    data = np.random.default_rng(5).random((4, 5, 6), dtype=np.float32)
    write_nifti(folder / "images/aa01/T1c.nii.gz", data, (1.0, 2.0, 3.0))
    with pytest.raises(DatasetError, match="was changed since the registration"):
        load_patient(folder / "images", files, MODALITIES, verify=True)


@pytest.mark.parametrize("fit", ["crop", "resample"])
def test_a_size_may_be_asked_for(folder, fit):
    files = [v for v in run(folder).manifest.volumes if v.patient == "aa01"]
    full, _ = load_patient(folder / "images", files, MODALITIES)
    array, _ = load_patient(folder / "images", files, MODALITIES, (8, 3, 6), fit=fit)
    assert array.shape == (2, 8, 3, 6)
    if fit == "crop":
        assert np.array_equal(array[:, 2:6], full[:, :, 1:4])
        assert (array[:, :2] == 0).all()
    else:
        assert array.mean() == pytest.approx(full.mean(), rel=0.05)


def test_a_patient_without_any_of_the_modalities(folder):
    files = [v for v in run(folder).manifest.volumes if v.patient == "aa01"]
    with pytest.raises(DatasetError, match="aa01: has FLAIR, T1c, none of T2"):
        load_patient(folder / "images", files, ("T2",))


def test_a_fault_among_numbers_is_told_as_one(folder):
    """Not as forty labels, each of which would be published."""
    table = pd.read_csv(folder / "table.csv", dtype=str)
    table = pd.concat([table] * 5, ignore_index=True)
    table["patient_id"] = [f"p{i}" for i in range(len(table))]
    table.loc[2, "age"] = "n/a?"
    table.to_csv(folder / "table.csv", index=False)
    with pytest.raises(DatasetError) as caught:
        survey(None, folder / "table.csv", None, dataset="d")
    assert caught.value.problems == ("column age: n/a? is no number, at p2",)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "patient_id;age\na;40\n",
            "table.csv: has no column patient_id; it has ['patient_id;age']: save it "
            "with commas between the columns",
        ),
        (
            "PatientID,age\na,40\n",
            "table.csv: has no column patient_id; it has ['PatientID', 'age']: rename "
            "PatientID to patient_id",
        ),
        (
            "patient_id,age\nM\xfcller,40\n",
            "table.csv: is not text in UTF-8; save it from the spreadsheet as CSV, "
            "UTF-8, with commas",
        ),
    ],
)
def test_what_spreadsheets_write_is_told_with_what_to_do(tmp_path, written, message):
    (tmp_path / "table.csv").write_bytes(written.encode("latin-1"))
    with pytest.raises(DatasetError) as caught:
        survey(None, tmp_path / "table.csv", None, dataset="d")
    assert caught.value.problems == (message,)

"""Hospitals on disk: byte for byte by seed, and paired across sizes and scanners."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fednb.errors import HomeError, InputError
from fednb.imaging.quality import survey
from fednb.imaging.readers import read_volume
from fednb.imaging.tables import read_table
from fednb.phantom.hospital import (
    STEP,
    UNION_COLUMNS,
    HospitalSpec,
    read_truth,
    render_patient,
    union_hospital,
    write_hospital,
    write_mock,
)
from fednb.phantom.latents import CLINICAL, TABLE_COLUMNS, draw_patients
from fednb.phantom.render import MODALITIES
from fednb.phantom.scanner import ScannerEffects

LABELS = [column.name for column in TABLE_COLUMNS]


def content(folder) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check(place, columns=TABLE_COLUMNS):
    return survey(
        place.images, place.table, columns, dataset="glioma", expected_labels=LABELS
    )


def test_the_same_spec_gives_the_same_bytes(tmp_path):
    spec = HospitalSpec("A", 4, 7, size=16, scanner=ScannerEffects.draw(2))
    write_hospital(tmp_path / "one", spec)
    write_hospital(tmp_path / "two", spec)
    one = content(tmp_path / "one")
    assert one == content(tmp_path / "two")
    assert len(one) == 4 * 4 + 2


def test_volumes_read_back_as_rendered(tmp_path):
    spec = HospitalSpec("D", 3, 5, scanner=ScannerEffects.draw(4))
    place = write_hospital(tmp_path, spec)
    for number, row in enumerate(draw_patients("D", 3, 5).to_dict("records")):
        rendered = render_patient(spec, number, row)
        for modality, expected in zip(MODALITIES, rendered, strict=True):
            path = place.images / row["patient_id"] / f"{modality}.nii.gz"
            volume = read_volume(path)
            assert np.abs(volume.data - expected).max() <= 0.5 * STEP + 1e-6
            assert volume.spacing == (5.0, 5.0, 5.0)


def test_rows_are_paired_across_sizes_and_scanners(tmp_path):
    plain = write_hospital(tmp_path / "a", HospitalSpec("B", 5, 7, size=16))
    other = HospitalSpec(
        "B", 5, 7, size=24, scanner=ScannerEffects.draw(1), missing_modalities=True
    )
    twin = write_hospital(tmp_path / "b", other)
    assert plain.table.read_bytes() == twin.table.read_bytes()
    assert plain.truth.read_bytes() == twin.truth.read_bytes()


def test_heads_are_paired_across_scanners():
    row = draw_patients("D", 1, 5).to_dict("records")[0]
    clean = render_patient(HospitalSpec("D", 1, 5), 0, row)
    scanner = ScannerEffects(gain=1.4, offset=0.05)
    seen = render_patient(HospitalSpec("D", 1, 5, scanner=scanner), 0, row)
    assert np.allclose(seen, 1.4 * clean + 0.05, atol=1e-5)


def test_the_table_holds_no_latents(tmp_path):
    place = write_hospital(tmp_path, HospitalSpec("A", 6, 1, size=8))
    assert place.truth.parent != place.table.parent
    assert place.truth.parent not in place.images.parents
    table = pd.read_csv(place.table)
    assert tuple(table.columns) == CLINICAL
    truth = read_truth(place.truth)
    drawn = draw_patients("A", 6, 1)
    for name in ("log_hazard", "u", "age_exact"):
        assert truth[name].tolist() == drawn[name].tolist()
    assert truth["grade"].tolist() == drawn["grade"].tolist()
    assert set(truth["site"]) == {"A"}


def test_a_hospital_passes_the_survey(tmp_path):
    place = write_hospital(tmp_path, HospitalSpec("A", 6, 1, size=16))
    found = check(place)
    assert found.warnings == ()
    assert found.manifest.modalities == MODALITIES
    assert read_table(place.table, TABLE_COLUMNS)["grade"].isin(["2", "3", "4"]).all()


@pytest.mark.parametrize(
    ("letter", "modality", "share"), [("B", "FLAIR", 0.3), ("C", "T1", 0.5)]
)
def test_missing_modalities(tmp_path, letter, modality, share):
    spec = HospitalSpec(letter, 60, 1, size=8, missing_modalities=True)
    found = check(write_hospital(tmp_path, spec))
    (warning,) = found.warnings
    assert f"of 60 patients have no {modality}" in warning
    lacking = 4 * 60 - len(found.manifest.volumes)
    assert lacking / 60 == pytest.approx(share, abs=0.15)


def test_a_confounded_scanner_marks_the_mutants_alone():
    rows = draw_patients("D", 12, 5).to_dict("records")
    spec = HospitalSpec("D", 12, 5, size=16, confounded=True)
    for number, row in enumerate(rows):
        plain = render_patient(HospitalSpec("D", 12, 5, size=16), number, row)
        same = np.array_equal(plain, render_patient(spec, number, row))
        assert same == (row["idh"] == 0)
    assert {row["idh"] for row in rows} == {0, 1}


def test_a_mock_shares_nothing_with_its_hospital(tmp_path):
    spec = HospitalSpec("A", 12, 1, size=16)
    real = write_hospital(tmp_path / "real", spec)
    mock = write_mock(tmp_path / "mock", spec, patients=12)
    found = check(mock)
    assert not set(found.manifest.patients) & set(check(real).manifest.patients)
    hashes = {v.sha256 for v in check(real).manifest.volumes}
    assert not hashes & {v.sha256 for v in found.manifest.volumes}
    table = pd.read_csv(mock.table)
    for name in ("idh", "codel", "death"):
        assert table[name].sum() == 6
    again = write_mock(tmp_path / "again", spec, patients=12)
    assert again.table.read_bytes() == mock.table.read_bytes()


def test_the_columns_of_a_mock_know_nothing_of_each_other(tmp_path):
    place = write_mock(tmp_path, HospitalSpec("A", 1, 1, size=8), patients=400)
    table = pd.read_csv(place.table)
    numbers = table[["age", "idh", "codel", "os_months", "death", "grade"]]
    correlation = np.corrcoef(numbers.T)
    assert np.abs(correlation - np.eye(6)).max() < 0.2


def test_a_union(tmp_path):
    parts = [
        write_hospital(tmp_path / letter, HospitalSpec(letter, 3, 1, size=8))
        for letter in "AB"
    ]
    union = union_hospital(tmp_path / "union", parts)
    found = check(union, UNION_COLUMNS)
    assert len(found.manifest.patients) == 6
    assert len(found.manifest.volumes) == 24
    assert read_table(union.table, UNION_COLUMNS)["site"].tolist() == list("AAABBB")
    assert len(read_truth(union.truth)) == 6
    with pytest.raises(InputError, match="3 patients occur in two hospitals"):
        union_hospital(tmp_path / "twice", [parts[0], parts[0]])


def test_bad_input(tmp_path):
    spec = HospitalSpec("A", 1, 1, size=8)
    write_hospital(tmp_path / "a", spec)
    with pytest.raises(InputError, match="already holds a hospital"):
        write_hospital(tmp_path / "a", spec)
    with pytest.raises(InputError, match="at least 2 patients; 1"):
        write_mock(tmp_path / "b", spec, patients=1)
    with pytest.raises(InputError, match="at least one hospital"):
        union_hospital(tmp_path / "c", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be written"):
        write_hospital(tmp_path / "file" / "x", spec)

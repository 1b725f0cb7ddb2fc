"""Hospitals register folders of DICOM series, and a network is trained on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from series import NAME, write_series

from fednb.embedded.federation import Federation
from fednb.errors import DatasetError
from fednb.imaging.readers import write_nifti
from fednb.imaging.volumes import load_patient
from fednb.owner.introductions import introduce
from fednb.owner.site_owner import SiteOwner
from fednb.records.datasets import Column
from fednb.records.specs import SplitSpec
from fednb.records.tasks import TrainingPlan
from fednb.site.catalog import Catalog
from fednb.site.home import Home
from fednb.site.keys import SiteKeys

SPACING = (1.0, 2.0, 3.0)
SITES = ("a", "b", "c")
COLUMNS = (Column(name="idh", kind="binary"),)


def volume(seed: int) -> np.ndarray:
    """Whole numbers, which DICOM and NIfTI keep alike."""
    return np.random.default_rng(seed).integers(0, 2000, (8, 7, 6), dtype=np.uint16)


def folder_of(root, patients: int = 12):
    """A clinical table, and of every patient T1 as DICOM and T2 as NIfTI."""
    names = [f"P{i:02d}" for i in range(patients)]
    root.mkdir(parents=True)
    frame = pd.DataFrame({"patient_id": names, "idh": [i % 2 for i in range(patients)]})
    frame.to_csv(root / "table.csv", index=False)
    for i, name in enumerate(names):
        write_series(root / "images" / name / "T1", volume(i), SPACING)
        path = root / "images" / name / "T2.nii.gz"
        write_nifti(path, volume(i).astype(np.float32), SPACING, slope=1.0)
    return root


def register(home, root) -> SiteOwner:
    owner = SiteOwner.init(home, name=home.name, profile="open")
    owner.policy.set(auto_approve=["all"])
    table, images = root / "table.csv", root / "images"
    owner.create_dataset("scans", table=table, images=images, columns=COLUMNS)
    return owner


def test_a_network_is_trained_on_series_that_stay_where_they_are(tmp_path):
    homes = {site: tmp_path / site for site in SITES}
    data = tmp_path / "data"
    introduce([register(homes[site], folder_of(data / site)) for site in SITES])
    with Federation(homes, tmp_path / "coordinator") as fed:
        plan = TrainingPlan(
            model="small-cnn-3d",
            target="idh",
            rounds=1,
            size=(8, 8, 8),
            split=SplitSpec(0.5, 0.25, 0.25),
        )
        model = fed.request(plan, purpose="DICOM").wait(60).start().result()
        assert len(model.rounds) == 1
        assert np.isfinite(model.rounds[0].train_loss)


def test_a_series_reads_as_the_same_volume_in_nifti(tmp_path):
    root = folder_of(tmp_path / "data")
    owner = register(tmp_path / "a", root)
    home = Home(owner.path)
    catalog = Catalog(home, SiteKeys(home.folder("keys")))
    found = catalog.get("scans")
    mine = [one for one in found.manifest.volumes if one.patient == "P03"]
    array, available = load_patient(root / "images", mine, ("T1", "T2"), verify=True)
    assert available.all()
    assert np.array_equal(array[0], volume(3))
    assert np.array_equal(array[1], array[0])
    assert {one.spacing for one in mine} == {SPACING}
    assert {one.path for one in mine} == {"P03/T1", "P03/T2.nii.gz"}
    assert catalog.contents_hold("scans")
    kept = [path for path in owner.path.rglob("*") if path.is_file()]
    assert not any(NAME.encode() in path.read_bytes() for path in kept)
    one = root / "images" / "P03" / "T1" / "001.dcm"
    one.write_bytes(one.read_bytes()[:-2] + b"\1\1")
    assert not catalog.contents_hold("scans")
    with pytest.raises(DatasetError, match="P03/T1: was changed since"):
        load_patient(root / "images", mine, ("T1",), verify=True)


def test_what_is_wrong_with_series_is_listed_with_its_place(tmp_path):
    root = folder_of(tmp_path / "data", patients=6)
    images = root / "images"
    (images / "P00" / "T1" / "003.dcm").unlink()
    cut = images / "P01" / "T1" / "002.dcm"
    cut.write_bytes(cut.read_bytes()[:-40])
    (images / "P02" / "T1" / "notes.txt").write_text("scanned twice")
    (images / "P03" / "T2.nii.gz").unlink()
    for path in (images / "P03" / "T1").iterdir():
        path.rename(images / "P03" / path.name)
    (images / "P03" / "T1").rmdir()
    for path in (images / "P04" / "T1").iterdir():
        path.unlink()
    with pytest.raises(DatasetError) as caught:
        register(tmp_path / "a", root)
    text = str(caught.value)
    assert "P00/T1: slices are missing or doubled: gaps 3.00 to 6.00 mm" in text
    assert "P01/T1/002.dcm: pixels unreadable" in text
    assert "T1/notes.txt: is not DICOM" in text
    assert (
        "patients without images: P03; P03 have DICOM files that lie loose: put each "
        "series in a folder of its modality, such as P03/T1/"
    ) in text
    assert "P04/T1: no such folder, or it holds no files" in text
    assert len(caught.value.problems) == 5

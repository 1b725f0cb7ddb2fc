from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

if TYPE_CHECKING:
    from task_fixtures import Hospital
import torch

from fednb.errors import DatasetError, UnknownNameError
from fednb.records.datasets import Column
from fednb.records.specs import TransformSpec
from fednb.site.tasks.patients import Patients, patients_of

if TYPE_CHECKING:
    from fednb.records.tasks import TrainingPlan

CPU = torch.device("cpu")


def cached(hospital: Hospital) -> list:
    (folder,) = (hospital.folder / "work" / "cache").iterdir()
    return sorted(folder.iterdir())


def test_volumes_are_read_once_and_kept_in_private_files(
    hospital: Hospital, plan: TrainingPlan
):
    patients = Patients(hospital.job(plan), plan, CPU)
    rows = np.array([2, 5])
    first = patients.batch(rows)
    assert first.images.shape == (2, 2, 10, 10, 10)
    assert first.images.dtype == torch.float32
    assert first.labels.tolist() == [0.0, 1.0]
    assert first.covariates is None
    files = cached(hospital)
    assert [f.name for f in files] == ["000002.bin", "000005.bin"]
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    for volume in hospital.folder.glob("images/*/*.nii"):
        volume.unlink()
    again = Patients(hospital.job(plan), plan, CPU).batch(rows)
    assert torch.equal(first.images, again.images)


def test_a_broken_cache_file_is_made_anew(hospital: Hospital, plan: TrainingPlan):
    rows = np.array([0, 1])
    first = Patients(hospital.job(plan), plan, CPU).batch(rows)
    whole, cut = cached(hospital)
    whole.write_bytes(bytes(whole.stat().st_size))
    cut.write_bytes(b"")
    whole.write_bytes(b"\x01" + whole.read_bytes()[1:])
    again = Patients(hospital.job(plan), plan, CPU).batch(rows)
    assert torch.equal(first.images, again.images)


def test_large_values_stay_in_single_precision(hospital: Hospital, plan: TrainingPlan):
    raw = msgspec.structs.replace(plan, transforms=())
    patients = Patients(hospital.job(raw), raw, CPU)
    patients.batch(np.array([0]))
    (half,) = cached(hospital)
    half_size = half.stat().st_size
    values = np.full((2, 10, 10, 10), 1000.1, dtype=np.float32)
    patients._cache._write(half, values)
    assert half.stat().st_size - 4 == 2 * (half_size - 4)
    mixed = patients.batch(np.array([0, 1])).images
    assert torch.equal(mixed[0], torch.from_numpy(values))


def test_other_preprocessing_has_another_cache(hospital: Hospital, plan: TrainingPlan):
    for changed in (plan, msgspec.structs.replace(plan, modalities=("FLAIR",))):
        Patients(hospital.job(changed), changed, CPU).batch(np.array([0]))
    assert len(list((hospital.folder / "work" / "cache").iterdir())) == 2


def test_covariates_are_scaled_by_declared_bounds(
    hospital: Hospital, plan: TrainingPlan
):
    joint = msgspec.structs.replace(plan, covariates=("age",))
    batch = Patients(hospital.job(joint), joint, CPU).batch(np.array([0, 3, 5]))
    assert batch.covariates[:, 0].tolist() == pytest.approx([-20 / 30, 0, -15 / 30])
    contract = (Column("idh", "binary"), Column("age", "number", lower=0, upper=70))
    job = hospital.job(joint, columns=contract)
    batch = Patients(job, joint, CPU).batch(np.array([0, 5]))
    assert batch.covariates[:, 0].tolist() == pytest.approx([-5 / 35, 0])


def test_patients_without_a_label_are_left_out(hospital: Hospital, plan: TrainingPlan):
    patients = Patients(hospital.job(plan), plan, CPU)
    assert patients.labelled([15, 3, 14]).tolist() == [3, 14]
    assert len(patients) == 16


def test_bad_tables_are_refused(hospital: Hospital, plan: TrainingPlan):
    aged = msgspec.structs.replace(plan, target="age")
    with pytest.raises(DatasetError, match="column 'age', row 1: 30 is not 0 or 1"):
        Patients(hospital.job(aged), aged, CPU)
    unknown = msgspec.structs.replace(plan, covariates=("sex",))
    with pytest.raises(UnknownNameError, match="Unknown column 'sex'"):
        Patients(hospital.job(unknown), unknown, CPU)
    table = hospital.folder / "clinical.csv"
    table.write_text(table.read_text().replace("p07", "p77"))
    with pytest.raises(DatasetError, match="other patients than the manifest"):
        Patients(hospital.job(plan), plan, CPU)


def test_the_same_data_stays_warm_and_a_changed_table_does_not(
    hospital: Hospital, plan: TrainingPlan
):
    first = patients_of(hospital.job(plan), plan, CPU)
    assert patients_of(hospital.job(plan, round=2), plan, CPU) is first
    table = hospital.folder / "clinical.csv"
    table.write_text(table.read_text().replace("p00,0", "p00,"))
    second = patients_of(hospital.job(plan), plan, CPU)
    assert second is not first
    assert second.labelled([0]).size == 0


def test_files_that_changed_since_the_registration_are_refused(
    hospital: Hospital, plan: TrainingPlan
):
    patients = Patients(hospital.job(plan), plan, CPU)
    path = hospital.folder / "images" / "p04" / "T1c.nii"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(DatasetError, match="changed since the registration"):
        patients.batch(np.array([3, 4]))
    (folder,) = (hospital.folder / "work" / "cache").iterdir()
    assert [file.name for file in folder.iterdir()] == ["000003.bin"]


def test_a_patient_without_volumes_is_named(hospital: Hospital, plan: TrainingPlan):
    kept = tuple(v for v in hospital.manifest.volumes if v.patient != "p02")
    manifest = msgspec.structs.replace(hospital.manifest, volumes=kept)
    patients = Patients(hospital.job(plan, manifest=manifest), plan, CPU)
    with pytest.raises(DatasetError, match="patient 'p02' has no volume"):
        patients.batch(np.array([2]))


def test_augmentation_comes_from_its_generator_and_is_not_cached(
    hospital: Hospital, plan: TrainingPlan
):
    rows = np.array([0, 1])
    plain = Patients(hospital.job(plan), plan, CPU)
    noisy_plan = msgspec.structs.replace(
        plan, transforms=(*plan.transforms, TransformSpec("RandGainNoise", {"prob": 1}))
    )
    noisy = Patients(hospital.job(noisy_plan), noisy_plan, CPU)
    one, two, other = (
        noisy.batch(rows, np.random.default_rng(seed)).images for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(noisy.batch(rows).images, plain.batch(rows).images)
    rng = np.random.default_rng(1)
    assert torch.equal(plain.batch(rows, rng).images, plain.batch(rows).images)
    assert len(list((hospital.folder / "work" / "cache").iterdir())) == 1


def test_a_plan_sets_its_own_spacing(hospital: Hospital, plan: TrainingPlan):
    coarse = TransformSpec("ResampleSpacing", {"spacing": [2.0, 2.0, 2.0]})
    plan = msgspec.structs.replace(plan, transforms=(coarse,), size=(6, 6, 6))
    images = Patients(hospital.job(plan), plan, CPU).batch(np.array([0])).images
    assert images.shape == (1, 2, 6, 6, 6)
    # ten voxels of 1 mm are five of 2 mm, and one of padding
    assert torch.count_nonzero(images[0, 0]) == 5**3


def test_unknown_transforms_are_named(hospital: Hospital, plan: TrainingPlan):
    wrong = msgspec.structs.replace(plan, transforms=(TransformSpec("ZScoreInMaks"),))
    with pytest.raises(UnknownNameError, match="Did you mean 'ZScoreInMask'"):
        Patients(hospital.job(wrong), wrong, CPU)

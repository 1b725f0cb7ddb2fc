"""Survey a dataset before it is registered: all problems at once, then a manifest.

A dataset is a folder ``images/<patient>/<modality>.nii.gz`` and a CSV table with the
column ``patient_id``. In place of a file there may be a folder with the slices of one
DICOM series. Every file is read once, for its voxels and for its hash.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import DatasetError
from fednb.imaging.sources import read_source
from fednb.imaging.tables import (
    MAX_LABEL,
    PATIENT,
    infer_columns,
    read_raw,
    table_hash,
    table_problems,
)
from fednb.records.datasets import Manifest, VolumeFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from fednb.imaging.readers import HashedVolume
    from fednb.records.datasets import Column

__all__ = ["Survey", "infer_columns", "survey"]

_THREADS: Final = 2
_SUFFIXES: Final = (".nii.gz", ".nii")
_PREFERRED: Final = ("T1", "T1c", "T2", "FLAIR")


@dataclass(frozen=True)
class Survey:
    """A dataset that can be registered.

    Attributes
    ----------
    manifest
        What it consists of.
    warnings
        What its owner should know: missing modalities, undeclared columns.
    present
        Exact number of patients with a value, by column; stays at the site.
    """

    manifest: Manifest
    warnings: tuple[str, ...]
    present: dict[str, int]


@dataclass(frozen=True)
class _Found:
    """One file, or one folder of a series, in a patient's folder."""

    patient: str
    modality: str
    path: Path


@dataclass(frozen=True)
class _Checked:
    """What reading one file gave: a record, or problems."""

    file: VolumeFile | None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def survey(
    images: Path | None,
    table: Path,
    columns: Sequence[Column] | None,
    *,
    dataset: str,
    modalities: Sequence[str] | None = None,
    expected_labels: Sequence[str] = (),
) -> Survey:
    """Check a dataset and describe it.

    Parameters
    ----------
    images
        Folder of one folder a patient, or ``None`` for a table alone.
    table
        CSV file with the column ``patient_id``.
    columns
        The owner's declaration; ``None`` infers one.
    dataset
        Name of the dataset.
    modalities
        Modalities in the order of a model's input; ``None`` takes those found. A
        patient may lack some of them, which is a warning, but not all.
    expected_labels
        Columns in which no value may be missing.

    Raises
    ------
    DatasetError
        Anything is wrong; every problem is listed with its place.
    """
    frame = read_raw(table)
    declared = tuple(columns) if columns is not None else infer_columns(frame)
    problems = table_problems(frame, declared, expected_labels)
    warnings = _undeclared(frame, declared)
    patients = tuple(str(one) for one in frame[PATIENT].dropna())
    found, wrong = _find(images, patients) if images is not None else ([], [])
    problems += wrong
    order = _modality_order(found, modalities)
    problems += _modality_problems(found, modalities)
    checked = _check_all(found, images) if images is not None else []
    problems += [text for one in checked for text in one.problems]
    warnings += [text for one in checked for text in one.warnings]
    volumes = [one.file for one in checked if one.file is not None]
    problems += _shape_problems(volumes)
    if problems:
        raise DatasetError(problems)
    if images is not None:
        warnings += _missing_modalities(patients, found, order)
    manifest = Manifest(
        dataset=dataset,
        columns=declared,
        modalities=order,
        patients=patients,
        table_sha256=table_hash(table),
        volumes=tuple(volumes),
    )
    present = {c.name: int(frame[c.name].notna().sum()) for c in declared}
    return Survey(manifest, tuple(warnings), present)


def _undeclared(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Warn about columns of the table that stay outside the dataset."""
    known = {PATIENT, *(column.name for column in columns)}
    extra = [str(name) for name in frame.columns if name not in known]
    if not extra:
        return []
    return [f"columns in the table that are not declared are left out: {_some(extra)}"]


def _find(images: Path, patients: Sequence[str]) -> tuple[list[_Found], list[str]]:
    """Find each patient's files, and rows and folders without a partner."""
    if not images.is_dir():
        return [], [f"images: there is no folder {images.name}"]
    folders = {one.name: one for one in images.iterdir() if one.is_dir()}
    problems = []
    orphans = sorted(set(folders) - set(patients))
    if orphans:
        problems.append(f"images without a row in the table: {_some(orphans)}")
    found: list[_Found] = []
    empty = []
    for patient in dict.fromkeys(patients):
        files = _files(folders[patient], patient) if patient in folders else []
        found += files
        if not files:
            empty.append(patient)
    if empty:
        problems.append(_without_images(empty, folders))
    return found, problems + _doubled(found)


def _without_images(patients: Sequence[str], folders: Mapping[str, Path]) -> str:
    """Name patients of whom no volume was found; of loose slices, say where they go."""
    text = f"patients without images: {_some(patients)}"
    loose = [p for p in patients if p in folders and any(folders[p].glob("*.dcm"))]
    if loose:
        text += (
            f"; {_some(loose)} have DICOM files that lie loose: put each series in a "
            f"folder of its modality, such as {loose[0]}/T1/"
        )
    return text


def _files(folder: Path, patient: str) -> list[_Found]:
    """List the volumes in one folder: NIfTI files, and folders of a series."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found.append(_Found(patient, path.name, path))
            continue
        found += [
            _Found(patient, path.name.removesuffix(suffix), path)
            for suffix in _SUFFIXES
            if path.name.endswith(suffix)
        ]
    return found


def _doubled(found: Iterable[_Found]) -> list[str]:
    """Report a modality that is there both compressed and not."""
    seen: set[tuple[str, str]] = set()
    problems = []
    for one in found:
        key = (one.patient, one.modality)
        if key in seen:
            problems.append(f"{one.patient}: two files for {one.modality}")
        seen.add(key)
    return problems


def _modality_order(
    found: Iterable[_Found], modalities: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the order of the model's input: as declared, or the usual one."""
    if modalities is not None:
        return tuple(modalities)
    names = {one.modality for one in found}
    usual = [name for name in _PREFERRED if name in names]
    return (*usual, *sorted(names - set(usual)))


def _modality_problems(
    found: Iterable[_Found], modalities: Sequence[str] | None
) -> list[str]:
    """Report modalities that were not declared, that nobody has, or too long names."""
    patients: dict[str, list[str]] = {}
    for one in found:
        patients.setdefault(one.modality, []).append(one.patient)
    long = [name for name in patients if len(name) > MAX_LABEL]
    problems = [
        f"modality {name[:20]}...: over {MAX_LABEL} characters" for name in long
    ]
    if modalities is None:
        return problems
    problems += [
        f"unknown modality {name} at {_some(where)}; declared: {', '.join(modalities)}"
        for name, where in sorted(patients.items())
        if name not in modalities
    ]
    nobody = [name for name in modalities if name not in patients]
    if patients:
        problems += [f"no patient has modality {name}" for name in nobody]
    return problems


def _check_all(found: Sequence[_Found], images: Path) -> list[_Checked]:
    """Read every file once; decompression and hashing release the interpreter."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda one: _check(one, images), found))


def _check(one: _Found, images: Path) -> _Checked:
    """Read one file and look at its voxels."""
    where = f"{one.patient}/{one.path.name}"
    if not one.path.exists():
        return _Checked(None, (f"{where}: is not a file",))
    try:
        hashed = read_source(one.path)
    except DatasetError as error:
        return _Checked(None, error.problems)
    problems, warnings = [], []
    if hashed.volume.data.min() == hashed.volume.data.max():
        value = float(hashed.volume.data.flat[0])
        problems.append(f"{where}: is empty, every voxel is {value:g}")
    if not hashed.oriented:
        warnings.append(f"{where}: says nothing of its orientation; nibabel's is used")
    record = _record(one, hashed, images)
    return _Checked(record, tuple(problems), tuple(warnings))


def _record(one: _Found, hashed: HashedVolume, images: Path) -> VolumeFile:
    """Return the manifest's line for one file."""
    width, depth, height = hashed.volume.data.shape
    # NIfTI keeps spacing in float32: 1.1 would read 1.10000002.
    x, y, z = (float(np.round(s, 5)) for s in hashed.volume.spacing)
    return VolumeFile(
        patient=one.patient,
        modality=one.modality,
        path=one.path.relative_to(images).as_posix(),
        bytes=hashed.bytes,
        sha256=hashed.sha256,
        shape=(width, depth, height),
        spacing=(x, y, z),
    )


def _shape_problems(volumes: Iterable[VolumeFile]) -> list[str]:
    """Report patients whose modalities do not lie on one grid."""
    grids: dict[str, dict[object, list[str]]] = {}
    for one in volumes:
        by_grid = grids.setdefault(one.patient, {})
        by_grid.setdefault((one.shape, one.spacing), []).append(one.modality)
    problems = []
    for patient, by_grid in grids.items():
        if len(by_grid) > 1:
            shown = "; ".join(f"{_some(m)}: {g}" for g, m in by_grid.items())
            problems.append(f"{patient}: shape or spacing differ ({shown})")
    return problems


def _missing_modalities(
    patients: Sequence[str], found: Iterable[_Found], order: Sequence[str]
) -> list[str]:
    """Warn about modalities that some patients lack."""
    have: dict[str, set[str]] = {}
    for one in found:
        have.setdefault(one.modality, set()).add(one.patient)
    warnings = []
    for name in order:
        lacking = [one for one in patients if one not in have.get(name, set())]
        if lacking:
            warnings.append(
                f"{len(lacking)} of {len(patients)} patients have no {name}: "
                f"{_some(lacking)}"
            )
    return warnings


def _some(values: Sequence[str]) -> str:
    """Name the first few of many."""
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(values[:5]) + more

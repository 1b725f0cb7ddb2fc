"""Write synthetic hospitals to disk, as an owner would have them.

::

    folder/
      data/clinical.csv                      what the owner registers
      data/images/<patient>/<modality>.nii.gz
      oracle/truth.csv                       latents; never part of a dataset
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from fednb.errors import HomeError, InputError
from fednb.imaging.readers import write_nifti
from fednb.phantom.latents import (
    CLINICAL,
    SITES,
    TABLE_COLUMNS,
    draw_patients,
    stream,
)
from fednb.phantom.render import (
    FIELD_OF_VIEW,
    MODALITIES,
    Findings,
    draw_anatomy,
    render,
)
from fednb.phantom.scanner import ScannerEffects
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

UNION_COLUMNS: Final = (
    *TABLE_COLUMNS,
    Column(name="site", kind="category", levels=tuple(SITES), description="Hospital"),
)
"""Declaration of the table that `union_hospital` writes."""

MISSING: Final = {"B": ("FLAIR", 0.30), "C": ("T1", 0.50)}
"""Modality that a site misses in a share of its patients."""

STEP: Final = 1.0 / 1024.0
"""One step of the stored integers; a power of two, so that reading is exact."""

_RENDER, _SCANNER, _GAPS, _MOCK = 3, 4, 5, 6
_CONFOUNDER: Final = ScannerEffects(gamma=1.25, blur=0.8)


@dataclass(frozen=True)
class HospitalSpec:
    """What a synthetic hospital is made of.

    Attributes
    ----------
    letter
        Site ``"A"`` to ``"D"``: grades and censoring.
    n
        Number of patients.
    seed
        Whole number from 0.
    size
        Voxels along each edge of a volume, 8 to 256.
    scanner
        Effects of the scanner; none by default.
    missing_modalities
        Leave out FLAIR in 30 % of B and T1 in 50 % of C.
    permute_labels
        The control in which nothing can be learnt.
    confounded
        The control in which IDH-mutant patients were scanned on another machine.
    """

    letter: str
    n: int
    seed: int
    size: int = 32
    scanner: ScannerEffects = field(default_factory=ScannerEffects.none)
    missing_modalities: bool = False
    permute_labels: bool = False
    confounded: bool = False


@dataclass(frozen=True)
class HospitalFolder:
    """Where a hospital was written.

    Attributes
    ----------
    images
        Folder of one folder a patient.
    table
        The clinical table, a CSV file.
    truth
        The latent truth for the oracle, a CSV file in another folder.
    """

    images: Path
    table: Path
    truth: Path

    @classmethod
    def under(cls, folder: Path) -> HospitalFolder:
        """Return the paths of a hospital in `folder`."""
        data = folder / "data"
        return cls(
            data / "images", data / "clinical.csv", folder / "oracle" / "truth.csv"
        )


def write_hospital(folder: Path, spec: HospitalSpec) -> HospitalFolder:
    """Write one hospital; the same `spec` gives the same bytes.

    Raises
    ------
    InputError
        `spec` is out of range, or `folder` already holds a hospital.
    UnknownNameError
        There is no such site.
    HomeError
        The folder cannot be written.
    """
    patients = draw_patients(
        spec.letter, spec.n, spec.seed, permute_labels=spec.permute_labels
    )
    place = _make(folder)
    _write_tables(place, patients, spec)
    absent = _absent(spec)
    for number, row in enumerate(patients.to_dict("records")):
        volume = render_patient(spec, number, row)
        _write_volumes(place.images / row["patient_id"], volume, absent[number])
    return place


def render_patient(
    spec: HospitalSpec, number: int, row: Mapping[Any, Any]
) -> NDArray[np.float32]:
    """Render one patient as the hospital's scanner shows them.

    Parameters
    ----------
    spec
        The hospital.
    number
        The patient's row in `draw_patients`.
    row
        That row.

    Returns
    -------
    numpy.ndarray
        (4, size, size, size), float32, modalities in the order of `MODALITIES`.
    """
    findings = Findings.from_row(row)
    anatomy = draw_anatomy(findings, stream(spec.letter, spec.seed, _RENDER, number))
    scanner = spec.scanner
    if spec.confounded and row["idh"] == 1:
        scanner = replace(scanner, gamma=_CONFOUNDER.gamma, blur=_CONFOUNDER.blur)
    clean = render(findings, anatomy, spec.size, contrast_swap=scanner.contrast_swap)
    return scanner.apply(clean, stream(spec.letter, spec.seed, _SCANNER, number))


def write_mock(
    folder: Path, spec: HospitalSpec, *, patients: int = 24
) -> HospitalFolder:
    """Write a mock half: other seed, smoother heads, columns that know nothing.

    Columns are drawn independently of each other and of the images, so that no
    finding of the real hospital can be read from them.

    Parameters
    ----------
    folder, spec
        As for `write_hospital`; the number of patients of `spec` is not used.
    patients
        Number of mock patients, at least 2.

    Raises
    ------
    InputError
        `patients` is below 2, or as for `write_hospital`.
    """
    if patients < 2:
        message = f"A mock needs at least 2 patients; {patients} were asked for."
        raise InputError(message)
    rng = stream(spec.letter, spec.seed, _MOCK)
    seed = int(rng.integers(2**31))
    frame = draw_patients(spec.letter, patients, seed)
    _draw_marginals(frame, rng)
    place = _make(folder)
    _write_tables(place, frame, spec)
    everything = (False,) * len(MODALITIES)
    for number, row in enumerate(frame.to_dict("records")):
        findings = Findings.from_row(row)
        anatomy = draw_anatomy(findings, stream(spec.letter, seed, _RENDER, number))
        volume = render(findings, anatomy, spec.size, smooth=3.0)
        _write_volumes(place.images / row["patient_id"], volume, everything)
    return place


def union_hospital(folder: Path, hospitals: Sequence[HospitalFolder]) -> HospitalFolder:
    """Join hospitals into one, for a central baseline on synthetic data.

    Volumes are linked, not copied, where the file system can. The table gets the
    column ``site``; `UNION_COLUMNS` declares it.

    Raises
    ------
    InputError
        There is no hospital, a patient occurs twice, or `folder` holds one already.
    HomeError
        The folder cannot be written.
    """
    if not hospitals:
        message = "A union needs at least one hospital; none was given."
        raise InputError(message)
    truth = pd.concat([read_truth(one.truth) for one in hospitals], ignore_index=True)
    doubled = truth["patient_id"][truth["patient_id"].duplicated()]
    if len(doubled):
        message = (
            f"{len(doubled)} patients occur in two hospitals, first {doubled.iloc[0]}. "
            "Use hospitals of different letters or seeds."
        )
        raise InputError(message)
    place = _make(folder)
    truth.to_csv(place.truth, index=False, lineterminator="\n")
    table = truth[[*CLINICAL, "site"]]
    table.to_csv(place.table, index=False, lineterminator="\n")
    for one in hospitals:
        for source in sorted(one.images.glob("*/*.nii.gz")):
            _link(source, place.images / source.parent.name / source.name)
    return place


def read_truth(path: Path) -> pd.DataFrame:
    """Read a truth file, with ids and grades as text."""
    text: dict[Hashable, str] = dict.fromkeys(("patient_id", "grade", "site"), "str")
    return pd.read_csv(path, dtype=text, float_precision="round_trip")


def _make(folder: Path) -> HospitalFolder:
    """Create the folders of a hospital where there is none yet."""
    place = HospitalFolder.under(folder)
    if place.table.exists():
        message = f"{folder} already holds a hospital. Choose an empty folder."
        raise InputError(message)
    try:
        place.images.mkdir(parents=True, exist_ok=True)
        place.truth.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"A hospital cannot be written to {folder}: {error.strerror}."
        raise HomeError(message) from error
    return place


def _write_tables(
    place: HospitalFolder, patients: pd.DataFrame, spec: HospitalSpec
) -> None:
    """Write the clinical table and, elsewhere, the truth."""
    table = patients[list(CLINICAL)]
    table.to_csv(place.table, index=False, lineterminator="\n")
    truth = patients.assign(site=spec.letter)
    truth.to_csv(place.truth, index=False, lineterminator="\n")


def _write_volumes(
    folder: Path, volume: NDArray[np.float32], absent: Sequence[bool]
) -> None:
    """Write one patient's modalities, but for the absent ones."""
    folder.mkdir(exist_ok=True)
    edge = FIELD_OF_VIEW / volume.shape[-1]
    for modality, data, skip in zip(MODALITIES, volume, absent, strict=True):
        if not skip:
            path = folder / f"{modality}.nii.gz"
            write_nifti(path, data, (edge, edge, edge), slope=STEP)


def _absent(spec: HospitalSpec) -> NDArray[np.bool_]:
    """Return which modalities each patient lacks, (n, 4)."""
    absent = np.zeros((spec.n, len(MODALITIES)), dtype=bool)
    if spec.missing_modalities and spec.letter in MISSING:
        modality, share = MISSING[spec.letter]
        rng = stream(spec.letter, spec.seed, _GAPS)
        absent[:, MODALITIES.index(modality)] = rng.random(spec.n) < share
    return absent


def _draw_marginals(frame: pd.DataFrame, rng: np.random.Generator) -> None:
    """Replace the clinical columns by independent draws of the declared kind."""
    n = len(frame)
    for column in TABLE_COLUMNS:
        if column.kind == "number":
            steps = round((column.upper - column.lower) / column.resolution)
            # Two uniform draws make a hump in the middle: no site's distribution.
            middle = rng.integers(0, steps + 1, (2, n)).mean(axis=0).round()
            values = np.maximum(middle, 1.0) * column.resolution + column.lower
            decimals = 0 if column.resolution >= 1 else 1
            frame[column.name] = np.round(values, decimals)
        elif column.kind == "binary":
            # Halves, so that a dry run finds both classes.
            frame[column.name] = rng.permutation(np.arange(n) % 2)
        else:
            frame[column.name] = rng.permutation(np.resize(np.array(column.levels), n))
    frame["age"] = frame["age"].astype(int)


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, by the cheapest means there is."""
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        try:
            target.symlink_to(source.resolve())
        except OSError as error:
            message = f"{target} cannot be linked to {source}: {error.strerror}."
            raise HomeError(message) from error

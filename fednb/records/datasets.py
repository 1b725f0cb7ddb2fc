"""Datasets as records: columns, volumes, manifests and published cards."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from fednb.records.base import Record, canonical, sha256_hex

ColumnKind = Literal["number", "category", "binary"]
Modality = str


class Column(Record, frozen=True):
    """A column of a clinical table, as its owner declares it.

    Attributes
    ----------
    name
        Name in the table, at most 80 characters.
    kind
        ``"number"``, ``"category"`` (labels) or ``"binary"`` (0 and 1).
    unit
        Unit of a number, for example ``"years"``; empty where there is none.
    lower, upper
        Bounds of a number, declared and not computed: values are clipped to them.
    step
        Width of the owner's grid for histograms and quantiles, in `unit`.
    resolution
        The unit in which the number is recorded (1 for whole years); means leave
        with one decimal beyond it.
    levels
        Labels of a category, in order.
    description
        One line for the card.

    Examples
    --------
    >>> fednb.Column("age", "number", unit="years", lower=18, upper=90, step=5).kind
    'number'
    """

    name: str
    kind: ColumnKind
    unit: str = ""
    lower: float = 0.0
    upper: float = 1.0
    step: float = 0.05
    resolution: float = 1.0
    levels: tuple[str, ...] = ()
    description: str = ""

    def grid(self) -> tuple[float, ...]:
        """Return the edges of the owner's grid, from `lower` to at least `upper`."""
        return _grid(self.lower, self.upper, self.step)


@lru_cache(maxsize=256)
def _grid(lower: float, upper: float, step: float) -> tuple[float, ...]:
    cells = max(1, math.ceil((upper - lower) / step - 1e-9))
    return tuple(lower + i * step for i in range(cells + 1))


class VolumeFile(Record, frozen=True):
    """One volume of one patient, named by where it lies and what it holds.

    Attributes
    ----------
    patient
        The patient's id; never leaves the site.
    modality
        For example ``"T1c"``.
    path
        Of the file, or of the folder of a DICOM series, relative to the dataset's
        image folder.
    bytes
        Size of the file, or of all files of the folder.
    sha256
        Hash of the file's content, or of the names and hashes of the folder's files.
    shape
        Voxels along each axis, in RAS order.
    spacing
        Millimetres a voxel along each axis, in RAS order.
    """

    patient: str
    modality: Modality
    path: str
    bytes: int
    sha256: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]


class Manifest(Record, frozen=True):
    """What a dataset consists of: a private record that never leaves the site.

    Attributes
    ----------
    dataset
        Name of the dataset.
    columns
        Columns of the table, without the patient id.
    modalities
        Modalities that at least one patient has, in the order of the model's input.
    patients
        Patient ids in the order of the table.
    table_sha256
        Hash of the table's file.
    volumes
        Every image file; empty for a dataset without images.
    """

    dataset: str
    columns: tuple[Column, ...]
    modalities: tuple[Modality, ...]
    patients: tuple[str, ...]
    table_sha256: str
    volumes: tuple[VolumeFile, ...] = ()

    def fingerprint(self) -> str:
        """Return the hash that a contract binds: of names, sizes and contents."""
        return sha256_hex(canonical(self))


class DatasetCard(Record, frozen=True):
    """What the owner publishes about a dataset; signed, and found by search.

    Attributes
    ----------
    site, dataset
        Where it is and what it is called.
    summary, terms
        The owner's own words: contents, and conditions of use.
    columns, modalities
        As in the manifest.
    subjects
        Number of patients, rounded under the site's profile.
    counts
        Rounded number of patients having each modality or non-missing column; a
        count below the threshold is 0, like none.
    fingerprint
        Hash of the manifest.
    profile
        Disclosure profile: ``"standard"``, ``"rare-disease"`` or ``"open"``.
    signing_key, agreement_key
        The site's public keys, Ed25519 and X25519, hexadecimal.
    gpus
        Names of the GPUs at the site; empty where there is none.
    synthetic
        Whether the owner declares the data to be synthetic.
    published
        Unix time in seconds.
    """

    site: str
    dataset: str
    summary: str
    terms: str
    columns: tuple[Column, ...]
    modalities: tuple[Modality, ...]
    subjects: int
    counts: dict[str, int]
    fingerprint: str
    profile: str
    signing_key: str
    agreement_key: str
    gpus: tuple[str, ...] = ()
    synthetic: bool = False
    published: int = 0

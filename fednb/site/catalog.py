"""A site's datasets: manifests in the database, halves in a derived syft folder.

The volumes are never copied: syft holds the manifest as the private half and the mock
table as the public one, with its access rights. The database is the truth; the syft
folder can be rebuilt from it at any time.
"""

from __future__ import annotations

import csv
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fednb.errors import DatasetError, InputError, UnknownNameError
from fednb.imaging.quality import survey
from fednb.privacy.disclosure import round_count
from fednb.privacy.profiles import PROFILES
from fednb.records.base import canonical, sha256_hex
from fednb.records.datasets import Column, DatasetCard, Manifest
from fednb.site.mock import mock_images, mock_table

if TYPE_CHECKING:
    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys


@dataclass(frozen=True)
class Source:
    """What an owner registers.

    Attributes
    ----------
    name
        Name of the dataset: letters, digits, ``-`` and ``_``.
    table
        CSV with a column ``patient_id``, one row a patient.
    images
        Folder ``<patient>/<modality>.nii.gz``; None for a table alone.
    columns
        Declarations of the table's columns; None: inferred, to be checked by the owner.
    modalities
        Names of the modalities; None: as found.
    mock
        ``"auto"`` draws a mock from the declarations; or a folder with ``table.csv``
        and, for images, ``images/``.
    labels
        Columns that must not have missing values.
    summary, terms
        For the card.
    synthetic
        Whether the data are made up.
    """

    name: str
    table: Path
    images: Path | None = None
    columns: tuple[Column, ...] | None = None
    modalities: tuple[str, ...] | None = None
    mock: str | Path = "auto"
    labels: tuple[str, ...] = ()
    summary: str = ""
    terms: str = ""
    synthetic: bool = False


@dataclass(frozen=True)
class Registered:
    """A dataset as the site has it.

    Attributes
    ----------
    manifest, card
        Private record and published card.
    fingerprint
        Hash of the manifest.
    card_signature
        The site's signature of the card's canonical bytes.
    table, images
        Where the private half lies; `images` is empty without volumes.
    mock
        Folder of the mock half.
    """

    manifest: Manifest
    card: DatasetCard
    fingerprint: str
    card_signature: bytes
    table: str
    images: str
    mock: Path


class Catalog:
    """The datasets of a home.

    Parameters
    ----------
    home, keys
        Of the site.
    """

    def __init__(self, home: Home, keys: SiteKeys) -> None:
        self._home = home
        self._keys = keys
        self._known: dict[str, tuple[bytes, Registered]] = {}

    def create(
        self, source: Source, *, profile: str, gpus: tuple[str, ...]
    ) -> tuple[DatasetCard, tuple[str, ...]]:
        """Check a dataset, store its manifest and mock, and publish its card.

        Parameters
        ----------
        source
            What the owner registers.
        profile
            Disclosure profile under which the card's counts are rounded.
        gpus
            Names of the GPUs at the site.

        Returns
        -------
        card, warnings
            The published card, and what the owner should look at.

        Raises
        ------
        DatasetError
            All that is wrong with the folder and the table, and where.
        InputError
            The name is taken or not allowed.
        """
        self._check_name(source.name)
        found = survey(
            source.images,
            source.table,
            source.columns,
            dataset=source.name,
            modalities=source.modalities,
            expected_labels=source.labels,
        )
        manifest = found.manifest
        mock = self._make_mock(source, manifest)
        card = self._card(source, manifest, profile, gpus)
        signature = self._keys.sign(canonical(card))
        with self._home.transaction() as database:
            database.execute(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    source.name,
                    canonical(manifest),
                    canonical(card),
                    signature,
                    str(source.table.absolute()),
                    str(source.images.absolute()) if source.images else "",
                    str(mock),
                    time.time(),
                ),
            )
        self.rebuild_syft()
        return card, found.warnings

    def names(self) -> tuple[str, ...]:
        """Return the names of all datasets, sorted."""
        rows = self._home.database.execute("SELECT name FROM datasets ORDER BY name")
        return tuple(name for (name,) in rows)

    def find(self, name: str) -> Registered | None:
        """Return a dataset, or None."""
        row = self._home.database.execute(
            "SELECT manifest, card, card_signature, table_path, images_path, mock_path "
            "FROM datasets WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            return None
        body = row[0]
        known = self._known.get(name)
        if known is None or known[0] != body:
            manifest = msgspec.json.decode(body, type=Manifest)
            card = msgspec.json.decode(row[1], type=DatasetCard)
            digest = sha256_hex(body)
            known = (
                body,
                Registered(
                    manifest, card, digest, row[2], row[3], row[4], Path(row[5])
                ),
            )
            self._known[name] = known
        return known[1]

    def get(self, name: str) -> Registered:
        """Return a dataset.

        Raises
        ------
        UnknownNameError
            The site has no dataset of that name.
        """
        dataset = self.find(name)
        if dataset is None:
            raise UnknownNameError("dataset", name, self.names())
        return dataset

    def contents_hold(self, name: str) -> bool:
        """Whether the table and every volume still have their registered hashes."""
        dataset = self.get(name)
        try:
            table = sha256_hex(Path(dataset.table).read_bytes())
            if table != dataset.manifest.table_sha256:
                return False
            return all(
                sha256_hex((Path(dataset.images) / v.path).read_bytes()) == v.sha256
                for v in dataset.manifest.volumes
            )
        except OSError:
            return False

    def mock_items(self, name: str) -> tuple[tuple[str, bytes], ...]:
        """Return the files of a mock half: relative name and content."""
        folder = self.get(name).mock
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return tuple((str(p.relative_to(folder)), p.read_bytes()) for p in files)

    def rebuild_syft(self) -> Path:
        """Write the syft folder anew from the database, and return it."""
        from syft_datasets.config import SyftBoxConfig
        from syft_datasets.dataset_manager import SyftDatasetManager

        root = self._home.path / "syft"
        shutil.rmtree(root, ignore_errors=True)
        email = f"{self._home.get('name') or 'site'}@fednb.local"
        manager = SyftDatasetManager.from_config(
            SyftBoxConfig(syftbox_folder=root, email=email)
        )
        for name in self.names():
            dataset = self.get(name)
            private = self._home.write_file(
                "work/manifests", f"{name}.json", canonical(dataset.manifest)
            )
            manager.create(
                name=name,
                mock_path=dataset.mock / "table.csv",
                private_path=private,
                summary=dataset.card.summary or name,
                users=None,
            )
        return root

    def _check_name(self, name: str) -> None:
        if not name or not all(c.isalnum() or c in "-_" for c in name):
            message = f"A dataset's name has letters, digits, - and _; got {name!r}."
            raise InputError(message)
        if name in self.names():
            message = f"There is a dataset {name!r} already; choose another name."
            raise InputError(message)

    def _make_mock(self, source: Source, manifest: Manifest) -> Path:
        target = self._home.folder("mock") / source.name
        shutil.rmtree(target, ignore_errors=True)
        if source.mock == "auto":
            target.mkdir(parents=True)
            (target / "table.csv").write_bytes(mock_table(manifest.columns))
            if manifest.modalities:
                mock_images(target / "images", manifest.modalities)
            return target
        given = Path(source.mock)
        if not (given / "table.csv").is_file():
            raise DatasetError([f"The mock folder {given} has no table.csv."])
        private = set(manifest.patients)
        shared = sorted(private & set(_patients(given / "table.csv")))
        if shared:
            problem = f"{len(shared)} patients of the mock are in the private half too."
            raise DatasetError([problem])
        shutil.copytree(given, target)
        return target

    def _card(
        self,
        source: Source,
        manifest: Manifest,
        profile: str,
        gpus: tuple[str, ...],
    ) -> DatasetCard:
        rules = PROFILES[profile]
        counts = {
            modality: sum(v.modality == modality for v in manifest.volumes)
            for modality in manifest.modalities
        }
        with source.table.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        for column in manifest.columns:
            counts[column.name] = sum(bool(row[column.name].strip()) for row in rows)
        return DatasetCard(
            site=self._home.get("name"),
            dataset=source.name,
            summary=source.summary,
            terms=source.terms,
            columns=manifest.columns,
            modalities=manifest.modalities,
            subjects=round_count(len(manifest.patients), rules),
            counts={name: round_count(n, rules) for name, n in counts.items()},
            fingerprint=manifest.fingerprint(),
            profile=profile,
            signing_key=self._keys.signing_public,
            agreement_key=self._keys.agreement_public,
            gpus=gpus,
            synthetic=source.synthetic,
            published=int(time.time()),
        )


def _patients(table: Path) -> list[str]:
    with table.open(newline="") as stream:
        return [row.get("patient_id", "") for row in csv.DictReader(stream)]

"""A site's datasets: manifests in the database, halves in a derived syft folder.

The volumes are never copied: syft holds the manifest as the private half and the mock
table as the public one, with its access rights. The database is the truth; the syft
folder can be rebuilt from it at any time.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fednb.errors import DatasetError, HomeError, InputError, UnknownNameError
from fednb.imaging.quality import survey
from fednb.imaging.sources import source_sha256
from fednb.imaging.tables import PATIENT, read_raw
from fednb.privacy.disclosure import round_count
from fednb.privacy.profiles import PROFILES
from fednb.records.base import canonical, check_name, file_sha256, sha256_hex
from fednb.records.datasets import Column, DatasetCard, Manifest
from fednb.site.mock import mock_images, mock_table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from fednb.imaging.quality import Survey
    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys

    Enter = Callable[[sqlite3.Connection, DatasetCard], object]


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
        Folder ``<patient>/<modality>.nii.gz``, or ``<patient>/<modality>/`` with the
        slices of one DICOM series; None for a table alone.
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
    problems
        What is wrong already before files are looked at; listed with the rest.
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
    problems: tuple[str, ...] = ()


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
        self._known: dict[str, tuple[tuple[Any, ...], Registered]] = {}

    def create(
        self, source: Source, *, profile: str, gpus: tuple[str, ...], enter: Enter
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
        enter
            Enters the card in the ledger, inside the transaction that stores the
            dataset: there is never one without the other.

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
        HomeError
            The home could not be written; nothing of the dataset is left in it.
        """
        self.check_free(source.name)
        found = _surveyed(source)
        card = self._card(source, found, profile, gpus)
        mock = self._home.folder("mock") / source.name
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, mock, ignore_errors=True)
            try:
                _make_mock(mock, source, found.manifest)
            except OSError as error:
                message = f"The mock could not be written to {mock} ({error})."
                raise HomeError(message) from error
            with self._home.transaction() as database:
                self._insert(database, source, found.manifest, card)
                enter(database, card)
            undo.pop_all()
        return card, (*found.warnings, *self._derive())

    def check_free(self, name: str) -> None:
        """Refuse a name for a new dataset that is taken or not allowed.

        Raises
        ------
        InputError
            Says which.
        """
        check_name("dataset", name)
        if name in self.names():
            message = f"There is a dataset {name!r} already; choose another name."
            raise InputError(message)

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
        known = self._known.get(name)
        if known is None or known[0] != row:
            manifest = msgspec.json.decode(row[0], type=Manifest)
            card = msgspec.json.decode(row[1], type=DatasetCard)
            signature, table, images, mock = row[2:]
            found = Registered(
                manifest, card, sha256_hex(row[0]), signature, table, images, Path(mock)
            )
            known = self._known[name] = (row, found)
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

    def sign_anew(self, database: sqlite3.Connection) -> None:
        """Publish every card under the present keys, inside the caller's transaction.

        Parameters
        ----------
        database
            A connection inside ``home.transaction()``.
        """
        for name in self.names():
            card = msgspec.structs.replace(
                self.get(name).card,
                signing_key=self._keys.signing_public,
                agreement_key=self._keys.agreement_public,
                published=int(time.time()),
            )
            body = canonical(card)
            database.execute(
                "UPDATE datasets SET card = ?, card_signature = ? WHERE name = ?",
                (body, self._keys.sign(body), name),
            )

    def contents_hold(self, name: str) -> bool:
        """Whether the table and every volume still have their registered hashes."""
        dataset = self.get(name)
        try:
            if file_sha256(Path(dataset.table)) != dataset.manifest.table_sha256:
                return False
            return all(
                source_sha256(Path(dataset.images) / v.path) == v.sha256
                for v in dataset.manifest.volumes
            )
        except OSError:
            return False

    def mock_items(self, name: str) -> tuple[tuple[str, bytes], ...]:
        """Return the files of a mock half: relative name and content."""
        folder = self.get(name).mock
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return tuple((str(p.relative_to(folder)), p.read_bytes()) for p in files)

    def _derive(self) -> tuple[str, ...]:
        """Write the syft folder; the dataset is stored, whatever becomes of that."""
        try:
            self.rebuild_syft()
        except (OSError, HomeError) as error:
            warning = (
                f"The dataset is registered, but its syft folder could not be written "
                f"({error}). Free space, and call rebuild_catalog()."
            )
            return (warning,)
        return ()

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

    def _insert(
        self,
        database: sqlite3.Connection,
        source: Source,
        manifest: Manifest,
        card: DatasetCard,
    ) -> None:
        body = canonical(card)
        database.execute(
            "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                source.name,
                canonical(manifest),
                body,
                self._keys.sign(body),
                str(source.table.absolute()),
                str(source.images.absolute()) if source.images else "",
                str(self._home.path / "mock" / source.name),
                time.time(),
            ),
        )

    def _card(
        self,
        source: Source,
        found: Survey,
        profile: str,
        gpus: tuple[str, ...],
    ) -> DatasetCard:
        rules = PROFILES[profile]
        manifest = found.manifest
        imaged = Counter(volume.modality for volume in manifest.volumes)
        counts = {**imaged, **found.present}
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


def _surveyed(source: Source) -> Survey:
    """Survey a source; what was known to be wrong is listed with what is found."""
    problems = list(source.problems)
    found = None
    try:
        found = survey(
            source.images,
            source.table,
            source.columns,
            dataset=source.name,
            modalities=source.modalities,
            expected_labels=source.labels,
        )
    except DatasetError as error:
        problems += error.problems
    if problems or found is None:
        raise DatasetError(problems)
    return found


def _make_mock(target: Path, source: Source, manifest: Manifest) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if source.mock == "auto":
        target.mkdir(parents=True)
        (target / "table.csv").write_bytes(mock_table(manifest.columns))
        if manifest.modalities:
            mock_images(target / "images", manifest.modalities)
        return
    given = Path(source.mock)
    if not (given / "table.csv").is_file():
        raise DatasetError([f"The mock folder {given} has no table.csv."])
    shown = read_raw(given / "table.csv")[PATIENT].dropna()
    shared = set(manifest.patients).intersection(shown)
    if shared:
        problem = f"{len(shared)} patients of the mock are in the private half too."
        raise DatasetError([problem])
    shutil.copytree(given, target)

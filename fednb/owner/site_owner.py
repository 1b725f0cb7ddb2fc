"""`SiteOwner`: registers datasets, decides on contracts, and reads the ledger.

It opens the home's database beside the one server and never needs it: what is decided
here holds from the server's next message on.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import HomeError
from fednb.imaging.tables import read_raw
from fednb.owner.budgets import OwnerBudgets
from fednb.owner.datasets import (
    OwnerDataset,
    OwnerDatasets,
    csv_of,
    dataset_of,
    inferred_problems,
    wait_for_lock,
)
from fednb.owner.gpus import gpu_names
from fednb.owner.keys import change_keys
from fednb.owner.ledger import OwnerLedger
from fednb.owner.peers import OwnerPeers
from fednb.owner.policy import OwnerPolicy
from fednb.owner.requests import Requests, requests_of
from fednb.privacy.profiles import profile_named
from fednb.records.base import check_name
from fednb.site.approvals import Approvals
from fednb.site.catalog import Catalog, Source
from fednb.site.home import Home, put
from fednb.site.keys import SiteKeys
from fednb.site.ledger import KNOWN_KEY, Ledger
from fednb.site.policy import change_policy, read_policy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from fednb.display.html import Html
    from fednb.records.datasets import Column, DatasetCard

_TABLES: Final = "work/tables"
_INFERRED: Final = (
    "You declared nothing: bounds and labels below were read from the table, and they "
    "are published. Look at each, and declare columns where one says too much."
)


class SiteOwner(Shown):
    """The owner of a site, at its home folder.

    Parameters
    ----------
    path
        The home, for example ``"~/.fednb/demo/ucsf"``.

    Raises
    ------
    HomeError
        There is no home there, it was never initialised, or a newer fednb made it.
    IntegrityError
        A key of the home can be read by others, or is not a key.

    Examples
    --------
    >>> owner = SiteOwner.init(folder / "ucsf", "ucsf")
    >>> len(owner.requests), owner.ledger.verify().count
    (0, 1)
    """

    def __init__(self, path: str | Path) -> None:
        self._open(Path(path))

    def _open(self, path: Path) -> None:
        self._home = Home(path)
        self._name = self._home.get("name")
        if not self._name:
            message = (
                f"The home at {self._home.path} was never initialised. Run `fednb site "
                "init` on it."
            )
            raise HomeError(message)
        self._keys = SiteKeys(self._home.folder("keys"), self._home.get(KNOWN_KEY))
        self._ledger = Ledger(self._home, self._keys)
        self._approvals = Approvals(self._home, self._ledger)
        self._catalog = Catalog(self._home, self._keys)

    @classmethod
    def init(cls, path: str | Path, name: str, profile: str = "standard") -> SiteOwner:
        """Make a home: database, keys, policy, and the first entry of the ledger.

        Parameters
        ----------
        path
            A folder that does not exist, or is empty.
        name
            The site's name: letters, digits, ``-`` and ``_``.
        profile
            ``"standard"``, ``"rare-disease"`` or ``"open"``.

        Raises
        ------
        InputError
            The name or the profile is not allowed.
        HomeError
            There is a home already, there is something else, or it cannot be written.
        """
        check_name("site", name)
        profile_named(profile)
        _check_place(Path(path).expanduser().absolute())
        home = Home(path, create=True)
        keys = SiteKeys(home.folder("keys"))
        # the name comes last, and with its entry: a home without one is not a home yet
        change_policy(home, profile=profile)
        with home.transaction() as database:
            done = database.execute(
                "INSERT INTO site VALUES ('name', ?) ON CONFLICT (key) DO NOTHING",
                (name,),
            ).rowcount
            if not done:
                message = f"Somebody else initialised {home.path} at the same time."
                raise HomeError(message)
            # a lost file is then noticed
            put(database, KNOWN_KEY, keys.signing_public)
            body = {"site": name, "profile": profile, "key": keys.signing_public}
            Ledger(home, keys).append(database, "decision", body)
        home.close()
        return cls(path)

    @property
    def name(self) -> str:
        """Name of the site."""
        return self._name

    @property
    def path(self) -> Path:
        """The home folder."""
        return self._home.path

    @property
    def fingerprint(self) -> str:
        """Of the site's keys: scientists and other owners compare it by telephone."""
        return self._keys.fingerprint

    @property
    def requests(self) -> Requests:
        """The contracts that were proposed here, newest first."""
        return requests_of(self._approvals)

    @property
    def datasets(self) -> OwnerDatasets:
        """The site's datasets."""
        names = self._catalog.names()
        return OwnerDatasets({n: dataset_of(self._catalog.get(n)) for n in names})

    @property
    def policy(self) -> OwnerPolicy:
        """What the owner allows; change it by ``owner.policy.set(...)``."""
        return OwnerPolicy(self._home, self._ledger)

    @property
    def peers(self) -> OwnerPeers:
        """The other sites whose keys are confirmed here."""
        return OwnerPeers(self._approvals.peers, self.fingerprint)

    @property
    def budgets(self) -> OwnerBudgets:
        """What training has spent of each dataset's privacy, by requester."""
        return OwnerBudgets(self._home)

    @property
    def ledger(self) -> OwnerLedger:
        """What happened at the site, and why."""
        return OwnerLedger(self._ledger, self._name, self._keys)

    def create_dataset(  # noqa: PLR0913  (what an owner declares, each by its name)
        self,
        name: str,
        *,
        table: str | Path | pd.DataFrame,
        images: str | Path | None = None,
        columns: Sequence[Column] | None = None,
        modalities: Sequence[str] | None = None,
        mock: str | Path = "auto",
        labels: Sequence[str] = (),
        summary: str = "",
        terms: str = "",
        synthetic: bool = False,
    ) -> OwnerDataset:
        """Check a dataset, and publish its card and its mock half.

        Parameters
        ----------
        name
            Letters, digits, ``-`` and ``_``.
        table
            CSV with a column ``patient_id``, one row a patient; or such a frame, which
            is stored in the home.
        images
            Folder ``<patient>/<modality>.nii.gz``, or ``<patient>/<modality>/`` with
            the slices of one DICOM series. Volumes are never copied.
        columns, modalities
            Declarations; None: inferred, look at them.
        mock
            ``"auto"``, or a folder with ``table.csv`` and, for images, ``images/``.
        labels
            Columns that must not have missing values.
        summary, terms
            In the owner's words, for the card.
        synthetic
            Whether the data are made up.

        Returns
        -------
        dataset
            The card beside what stays private, and warnings.

        Raises
        ------
        DatasetError
            All that is wrong with the folder and the table, and where.
        InputError
            The name is taken or not allowed.
        HomeError
            The home could not be written; the dataset was not registered.
        """
        source = Source(
            name=name,
            table=Path(),
            images=Path(images).expanduser() if images is not None else None,
            columns=None if columns is None else tuple(columns),
            modalities=None if modalities is None else tuple(modalities),
            mock=mock if mock == "auto" else Path(mock).expanduser(),
            labels=tuple(labels),
            summary=summary,
            terms=terms,
            synthetic=synthetic,
        )
        with self._registering(name):
            source = replace(source, table=self._table(name, table))
            profile = read_policy(self._home).profile
            if columns is None:
                found = inferred_problems(read_raw(source.table), profile)
                source = replace(source, problems=tuple(found))
            _, warnings = self._catalog.create(
                source, profile=profile, gpus=gpu_names(), enter=self._enter
            )
        if columns is None:
            warnings = (_INFERRED, *warnings)
        return dataset_of(self._catalog.get(name), warnings)

    def rotate_keys(self) -> SiteOwner:
        """Give the site new keys; the old key signs that over in the ledger.

        Stop the server first. Every contract that is approved or pending ends: all
        name the old keys. Cards are signed anew. Tell the scientists the new
        `fingerprint`, and the other sites' owners that of ``peers``, by telephone: they
        see that the key changed, and other sites refuse it until it is confirmed.

        Raises
        ------
        HomeError
            The server runs, or the home could not be written.
        """
        change_keys(self.path, lost=False)
        self._home.close()
        self._open(self.path)
        self.rebuild_catalog()
        return self

    @classmethod
    def replace_lost_keys(cls, path: str | Path) -> SiteOwner:
        """Give new keys to a site that lost its own; otherwise as `rotate_keys`.

        The ledger says that the old key did not sign this over. Where the salt was
        lost too, splits are drawn anew and earlier cohorts are not recognised: prefer
        a backup of the folder ``keys``.

        Parameters
        ----------
        path
            The home.

        Raises
        ------
        HomeError
            The server runs, or the home could not be written.
        """
        change_keys(Path(path), lost=True)
        owner = cls(path)
        owner.rebuild_catalog()
        return owner

    def rebuild_catalog(self) -> OwnerDatasets:
        """Write the derived syft folder anew from the database."""
        self._catalog.rebuild_syft()
        return self.datasets

    def close(self) -> None:
        """Let go of the database."""
        self._home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @contextmanager
    def _registering(self, name: str) -> Iterator[None]:
        """Register one dataset at a time; delete its stored table where it fails."""
        handle = wait_for_lock(self.path / "owner.lock")
        try:
            self._catalog.check_free(name)
            with ExitStack() as undo:
                stored = self.path / _TABLES / f"{name}.csv"
                undo.callback(stored.unlink, missing_ok=True)
                yield
                undo.pop_all()
        finally:
            os.close(handle)

    def _enter(self, database: sqlite3.Connection, card: DatasetCard) -> None:
        body = {
            "dataset": card.dataset,
            "fingerprint": card.fingerprint,
            "profile": card.profile,
        }
        self._ledger.append(database, "dataset", body)

    def _table(self, name: str, table: str | Path | pd.DataFrame) -> Path:
        if isinstance(table, str | Path):
            return Path(table).expanduser()
        return self._home.write_file(_TABLES, f"{name}.csv", csv_of(table))

    def _facts(self) -> list[tuple[str, object]]:
        return [
            ("Home", str(self.path)),
            ("Fingerprint of its keys", self.fingerprint),
            ("Look at", ".requests .datasets .policy .peers .ledger"),
        ]

    def _text(self) -> str:
        return f"Owner of {self.name}\n{text.fields(self._facts(), '  ')}"

    def _html(self) -> Html:
        title = html.element("h2", f"Owner of {self.name}")
        return html.element("div", title, html.definition_list(self._facts()))


def _check_place(path: Path) -> None:
    """Refuse a folder that holds a home already, or anything else."""
    if (path / "site.sqlite").exists():
        home = Home(path)
        name = home.get("name")
        home.close()
        if name:
            message = f"There is a home already at {path}, of site {name}. Open it."
            raise HomeError(message)
    elif path.is_file() or (path.is_dir() and any(path.iterdir())):
        message = f"{path} is not empty. Choose a new folder for the home."
        raise HomeError(message)

"""Three synthetic hospitals in one call: what the README, Binder and the tests use."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pandas as pd

from fednb.config import default_home
from fednb.embedded.federation import Federation
from fednb.errors import InputError
from fednb.owner import SiteOwner
from fednb.owner.introductions import introduce
from fednb.phantom.hospital import (
    HospitalFolder,
    HospitalSpec,
    union_hospital,
    write_hospital,
    write_mock,
)
from fednb.phantom.latents import TABLE_COLUMNS
from fednb.phantom.render import MODALITIES
from fednb.phantom.scanner import ScannerEffects
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fednb.embedded.federation import Approve

DATASET: Final = "glioma-mri"
HOSPITALS: Final = {"aspen": "A", "birch": "B", "dune": "D"}
"""Names of the demo's hospitals, and the phantom's sites that they are made like."""

CENTRAL: Final = "union"
SPLIT_COLUMN: Final = "split"
COLUMNS: Final[tuple[Column, ...]] = (
    *TABLE_COLUMNS,
    Column(
        name=SPLIT_COLUMN,
        kind="category",
        levels=("train", "validation", "test"),
        description="Part of the study that the patient belongs to",
    ),
)
SUMMARY: Final = "Synthetic glioma MRI with IDH status and overall survival"
TERMS: Final = "Made up: free for any use"


@dataclass(frozen=True)
class DemoSize:
    """How many patients, of which size.

    Attributes
    ----------
    train, validation, test
        Patients a hospital.
    voxels
        Edge of a volume.
    seed
        Of patients and images.
    permuted
        The control in which nothing can be learnt.
    scanner
        Whether scanners differ between the hospitals.

    Examples
    --------
    >>> fednb.DemoSize(train=20, validation=10, test=10, voxels=16).patients
    40
    """

    train: int = 100
    validation: int = 100
    test: int = 100
    voxels: int = 32
    seed: int = 0
    permuted: bool = False
    scanner: bool = False

    @classmethod
    def small(cls) -> Self:
        """Return a size for a short visit: a study takes seconds, and learns little."""
        return cls(train=60, validation=40, test=60, voxels=16)

    @property
    def patients(self) -> int:
        """Patients a hospital."""
        return self.train + self.validation + self.test


def demo(
    folder: str | Path | None = None,
    *,
    size: DemoSize | None = None,
    approve: Approve = "manual",
) -> Federation:
    """Return a federation of three synthetic hospitals in this process.

    Parameters
    ----------
    folder
        Where the hospitals are kept; None: see `usual_folder`. Hospitals of the same
        size that are there already are opened again, with all that they remember.
    size
        See `DemoSize`.
    approve
        ``"manual"``: their owners approve each contract, you playing them through
        ``fednb.SiteOwner(folder / name)`` or ``fed.owner(name)``; statistics run under
        a contract that their policy approves. ``"auto"``: every contract is approved.

    Returns
    -------
    Federation
        Close it, or use it in a ``with`` block, to let go of the hospitals.
    """
    made = size or DemoSize()
    root = Path(folder).expanduser() if folder else usual_folder(made)
    homes = prepare_homes(root, made, approve)
    return Federation(homes, root / "coordinator", scientist="demo scientist")


def usual_folder(size: DemoSize) -> Path:
    """Return where hospitals of a size are kept: those of each have their own place.

    Parameters
    ----------
    size
        The usual one lies in ``~/.fednb/demo``, others beside it, for example in
        ``~/.fednb/demo-160x16`` with 160 patients a hospital and 16 voxels.
    """
    other = f"demo-{size.patients}x{size.voxels}"
    return default_home() / ("demo" if size == DemoSize() else other)


def prepare_homes(
    root: Path, size: DemoSize, approve: Approve = "manual"
) -> dict[str, Path]:
    """Return the homes of the demo's hospitals, made where they are missing."""
    if not _is_made(root, size):
        _check_free(root)
        make_hospitals(root, size)
    homes = {name: root / name for name in HOSPITALS}
    for name, home in homes.items():
        if not (home / "site.sqlite").exists():
            _register(home, name, place_of(root, name), size, mock=root / "mock")
    _settle(homes, ("all",) if approve == "auto" else ("statistics",))
    return homes


def baselines(root: Path, size: DemoSize) -> Federation:
    """Return the same hospitals in the open profile, with their union beside them.

    For comparison only: a central model needs the patients of all hospitals in one
    place, which synthetic data allow and real ones do not.

    Parameters
    ----------
    root
        Folder of a demo.
    size
        Its size.
    """
    folder = root / "baselines"
    union = _make_union(root)
    homes = {}
    for name in (*HOSPITALS, CENTRAL):
        home = folder / name
        place = union if name == CENTRAL else place_of(root, name)
        if not (home / "site.sqlite").exists():
            _register(home, name, place, size, profile="open")
        homes[name] = home
    _settle(homes, ("all",))
    return Federation(homes, folder / "coordinator", scientist="demo scientist")


def _settle(homes: Mapping[str, Path], approved: tuple[str, ...]) -> None:
    """Say what the hospitals approve by themselves, and let them know each other."""
    with ExitStack() as opened:
        owners = [opened.enter_context(SiteOwner(home)) for home in homes.values()]
        for owner in owners:
            owner.policy.set(auto_approve=approved)
        introduce(owners)


def make_hospitals(root: Path, size: DemoSize) -> None:
    """Write the hospitals' patients and volumes, and a mock half, anew."""
    for number, (name, letter) in enumerate(HOSPITALS.items()):
        effects = ScannerEffects.none()
        if size.scanner:
            effects = ScannerEffects.draw(size.seed + number)
        spec = HospitalSpec(
            letter,
            size.patients,
            size.seed,
            size=size.voxels,
            scanner=effects,
            permute_labels=size.permuted,
        )
        place = write_hospital(root / "hospitals" / name, spec)
        _add_split(place.table, size)
        made = write_mock(root / "mock-made" / name, spec)
        _add_split(made.table, DemoSize(12, 6, 6))
        _as_mock(made, root / "mock" / name)
    shutil.rmtree(root / "mock-made")
    (root / "size.json").write_text(json.dumps(asdict(size)))


def place_of(root: Path, name: str) -> HospitalFolder:
    """Return where a demo hospital's data lie."""
    return HospitalFolder.under(root / "hospitals" / name)


def truths(root: Path) -> Mapping[str, Path]:
    """Return the files of latent truth, for the oracle alone."""
    return {name: place_of(root, name).truth for name in HOSPITALS}


def _check_free(root: Path) -> None:
    """Refuse to make hospitals over others: their ledgers would be lost."""
    if root.exists() and any(root.iterdir()):
        message = (
            f"{root} holds other files, or hospitals of another size. Choose another "
            "folder, or delete it first."
        )
        raise InputError(message)


def _is_made(root: Path, size: DemoSize) -> bool:
    marker = root / "size.json"
    return marker.exists() and json.loads(marker.read_text()) == asdict(size)


def _register(
    home: Path,
    name: str,
    place: HospitalFolder,
    size: DemoSize,
    *,
    mock: Path | None = None,
    profile: str = "standard",
) -> None:
    owner = SiteOwner.init(home, name, profile=profile)
    owner.create_dataset(
        DATASET,
        images=place.images,
        table=place.table,
        columns=COLUMNS,
        modalities=MODALITIES,
        mock=mock / name if mock else "auto",
        labels=("idh", "death", "os_months"),
        summary=f"{SUMMARY}, {size.voxels} voxels",
        terms=TERMS,
        synthetic=True,
    )
    owner.close()


def _make_union(root: Path) -> HospitalFolder:
    folder = root / "hospitals" / CENTRAL
    place = HospitalFolder.under(folder)
    if place.table.exists():
        return place
    sources = [place_of(root, name) for name in HOSPITALS]
    place = union_hospital(folder, sources)
    tables = [pd.read_csv(s.table, dtype=str) for s in sources]
    pd.concat(tables).to_csv(place.table, index=False, lineterminator="\n")
    return place


def _add_split(table: Path, size: DemoSize) -> None:
    """Name each patient's part; rows are random draws, so that any order will do."""
    frame = pd.read_csv(table, dtype=str)
    parts = ["train"] * size.train + ["validation"] * size.validation
    frame[SPLIT_COLUMN] = (parts + ["test"] * size.test)[: len(frame)]
    frame.to_csv(table, index=False, lineterminator="\n")


def _as_mock(made: HospitalFolder, target: Path) -> None:
    """Lay a mock hospital out as the catalog expects it."""
    target.mkdir(parents=True)
    shutil.move(made.table, target / "table.csv")
    shutil.move(made.images, target / "images")

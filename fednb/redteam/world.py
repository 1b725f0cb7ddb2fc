"""Sites under the standard profile, and what really is in their tables."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from typing_extensions import override

from fednb.embedded.federation import Federation
from fednb.redteam.coordinator import HostileCoordinator
from fednb.redteam.people import COLUMNS, table
from fednb.site.home import Home
from fednb.site.keys import SiteKeys

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from fednb.wire.inproc import Direction

SIZES: Final = {"a": 60, "b": 57, "c": 53, "d": 49}
"""Patients a site: of different numbers, so that a fraction cuts one site at a time."""

THREE: Final = ("a", "b", "c")
DATASET: Final = "clinic"


class World:
    """Four hospitals whose owners approve whatever the standard rules let pass.

    What is in here besides `coordinator` is for judging an attack, not for making it.

    Parameters
    ----------
    rng
        Draws the patients.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fednb-redteam-"))
        self.tables: dict[str, pd.DataFrame] = {
            site: table(rng, site, n) for site, n in SIZES.items()
        }
        self._federation = Federation.from_frames(
            self.tables,
            dataset=DATASET,
            approve="auto",
            profile="standard",
            columns=COLUMNS,
            folder=self._folder,
        )
        self.wire = self._federation.transport
        self.frames: list[bytes] = []
        self.wire.observe(self._record)
        self.coordinator = HostileCoordinator(self.wire, self._folder / "mallory")
        self.stranger = HostileCoordinator(self.wire, self._folder / "eve")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        return f"World({SIZES})"

    def close(self) -> None:
        """Close the sites and delete their homes."""
        self._federation.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def publish(self, site: str, dataset: str, rows: pd.DataFrame) -> None:
        """Let a site's owner register another table, as when a cohort changes."""
        owner = self._federation.owner(site)
        owner.create_dataset(dataset, table=rows, columns=COLUMNS)
        owner.close()

    def tear(self, site: str, dataset: str, text: str) -> None:
        """Write something else over a registered table, as a bad disk or job would."""
        owner = self._federation.owner(site)
        path = Path(owner.datasets[dataset].table)
        owner.close()
        lines = path.read_text().splitlines()
        lines[1] = text + lines[1][lines[1].index(",") :]
        path.write_text("\n".join(lines))

    def numbers(self, *columns: str, sites: tuple[str, ...] = THREE) -> Rows:
        """Return columns of all patients of some sites, shape (n, columns)."""
        parts = [self.tables[s][list(columns)].to_numpy(dtype=float) for s in sites]
        return np.concatenate(parts)

    def split_order(self, site: str, key: str) -> list[int]:
        """Return in which secret order a site deals its patients to a split."""
        home = Home(self._folder / site)
        keys = SiteKeys(home.folder("keys"))
        ids = [str(p) for p in self.tables[site]["patient_id"]]
        home.close()
        return sorted(range(len(ids)), key=lambda i: keys.salted("split", key, ids[i]))

    def _record(self, site: str, direction: Direction, message: bytes) -> None:
        del site
        if direction == "from-site":
            self.frames.append(message)


if TYPE_CHECKING:
    Rows = NDArray[np.float64]

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from catalogued import AGE, IDH, MODALITIES, write_table, write_volume
from filing import contract_of, file

from fednb.site.approvals import Approvals
from fednb.site.catalog import Catalog, Source
from fednb.site.home import Home, put
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


@pytest.fixture
def keys(home: Home):
    return SiteKeys(home.folder("keys"))


@pytest.fixture
def ledger(home: Home, keys: SiteKeys):
    return Ledger(home, keys)


@pytest.fixture
def approvals(home: Home, ledger: Ledger):
    return Approvals(home, ledger)


@pytest.fixture
def filed(approvals: Approvals):
    """The hash of a contract that waits for a decision."""
    return file(approvals, contract_of())


@pytest.fixture
def catalog(home: Home, keys: SiteKeys):
    """An empty one, at a site that is named ucsf."""
    with home.transaction() as database:
        put(database, "name", "ucsf")
    return Catalog(home, keys)


@pytest.fixture
def source(tmp_path: Path):
    """A table of 43 patients, seven of whom have no age."""
    rows = [
        (f"secret-{i:02d}", "" if i < 7 else str(20 + i), str(i % 2)) for i in range(43)
    ]
    return Source("glioma", write_table(tmp_path / "t.csv", rows), columns=(AGE, IDH))


@pytest.fixture
def imaged(tmp_path: Path):
    """Three patients with volumes; the last one lacks FLAIR."""
    rows = [(f"secret-{i}", str(50 + i), str(i % 2)) for i in range(3)]
    folder = tmp_path / "images"
    rng = np.random.default_rng(0)
    for patient, *_ in rows:
        for modality in MODALITIES:
            if (patient, modality) != ("secret-2", "FLAIR"):
                write_volume(folder / patient / f"{modality}.nii.gz", rng)
    table = write_table(tmp_path / "t.csv", rows)
    return Source("glioma", table, images=folder, columns=(AGE, IDH))

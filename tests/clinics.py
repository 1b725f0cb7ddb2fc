"""Made-up clinical tables, and federations over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fednb.embedded.federation import Federation
from fednb.phantom.demo import HOSPITALS, DemoSize, demo
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 60
COLUMNS = (
    Column(name="age", kind="number", lower=20, upper=90, step=5),
    Column(name="idh", kind="binary"),
    Column(name="sex", kind="category", levels=("F", "M")),
    Column(name="os_months", kind="number", lower=0, upper=200, step=10),
    Column(name="death", kind="binary"),
)


def clinic(site: str, rows: int = ROWS) -> pd.DataFrame:
    """Return a made-up table; every number in it has digits that nothing else has."""
    rng = np.random.default_rng(sum(site.encode()))
    age = rng.uniform(25, 85, rows)
    time = rng.exponential(40, rows) * np.exp(-(age - 55) / 40)
    return pd.DataFrame(
        {
            "patient_id": [f"{site}-patient-{i:03d}" for i in range(rows)],
            "age": age,
            "idh": (rng.uniform(size=rows) < 0.4).astype(int),
            "sex": rng.choice(["F", "M"], rows),
            "os_months": np.minimum(time, 150) + 0.5,
            "death": (rng.uniform(size=rows) < 0.7).astype(int),
        }
    )


def federate(folder: Path, *sites: str, **options: object) -> Federation:
    """Return a federation over made-up tables of the sites."""
    frames = {site: clinic(site) for site in sites or ("a", "b", "c")}
    given = {"dataset": "clinic", "columns": COLUMNS, "folder": folder, **options}
    return Federation.from_frames(frames, **given)


def small_hospitals(root: Path) -> Path:
    """Make three small synthetic hospitals, open, which approve by themselves."""
    size = DemoSize(train=16, validation=16, test=12, voxels=16)
    fed = demo(root, size=size, approve="auto")
    for name in HOSPITALS:
        fed.owner(name).policy.set(profile="open")
    fed.close()
    return root

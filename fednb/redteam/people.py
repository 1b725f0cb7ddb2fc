"""Made-up patients: tables of sites, and plain arrays for the peers' rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.records.datasets import Column

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RARE: Final = tuple(f"rare-{i}" for i in range(8))
"""Labels that one patient each has."""

ABSENT: Final = tuple(f"absent-{i}" for i in range(4))
"""Labels that are declared, and that nobody has."""

TOP: Final = 100_000.0
"""What the one patient costs who dominates a total."""

COLUMNS: Final = (
    Column(name="age", kind="number", lower=20, upper=90, step=5, resolution=0.001),
    Column(name="volume", kind="number", upper=200, step=10, resolution=0.001),
    Column(name="idh", kind="binary"),
    Column(name="mgmt", kind="binary"),
    Column(name="male", kind="binary"),
    Column(name="os_months", kind="number", upper=200, step=10, resolution=0.001),
    Column(name="death", kind="binary"),
    Column(name="marker", kind="number", upper=100, step=5, resolution=0.001),
    Column(name="cost", kind="number", upper=2 * TOP, step=1000, resolution=0.01),
    Column(
        name="diagnosis",
        kind="category",
        levels=("glioma", "other", *RARE, *ABSENT),
    ),
)
"""As owners declare them: recorded finely, which is what makes means tell much."""


@dataclass(frozen=True, eq=False)
class People:
    """Patients as arrays, for rules that are pure functions.

    Attributes
    ----------
    x
        Age and volume, shape (n, 2).
    time, event
        Follow-up in months, and 0 or 1; shape (n,).
    binary
        Three attributes of 0 and 1, shape (n, 3).
    """

    x: Floats
    time: Floats
    event: Floats
    binary: Floats

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.time)


def people(rng: np.random.Generator, n: int) -> People:
    """Return `n` patients of one distribution."""
    age = rng.uniform(25, 85, n)
    volume = np.clip(rng.gamma(4, 12, n), 0.5, 199)
    binary = (rng.uniform(size=(n, 3)) < (0.4, 0.5, 0.55)).astype(np.float64)
    risk = (age - 55) / 40 + (volume - 48) / 60 - binary[:, 0]
    time = np.minimum(rng.exponential(40, n) * np.exp(-risk), 150) + 0.5
    event = (rng.uniform(size=n) < 0.65).astype(np.float64)
    return People(np.column_stack([age, volume]), time, event, binary)


def table(rng: np.random.Generator, site: str, n: int) -> pd.DataFrame:
    """Return the clinical table of a site: a few patients stand out in it."""
    import pandas as pd

    found = people(rng, n)
    marker, cost = np.full(n, np.nan), rng.uniform(0, 1, n)
    diagnosis = rng.choice(["glioma", "other"], n).astype(object)
    marker[n // 2], cost[n // 3] = rng.uniform(10, 90), TOP * rng.uniform(0.9, 1.1)
    for place, label in enumerate(RARE[: n // 4]):
        diagnosis[place] = label
    return pd.DataFrame(
        {
            "patient_id": [f"{site}-patient-{i:03d}" for i in range(n)],
            "age": found.x[:, 0],
            "volume": found.x[:, 1],
            "idh": found.binary[:, 0].astype(int),
            "mgmt": found.binary[:, 1].astype(int),
            "male": found.binary[:, 2].astype(int),
            "os_months": found.time,
            "death": found.event.astype(int),
            "marker": marker,
            "cost": cost,
            "diagnosis": diagnosis,
        }
    )

"""Patients of a synthetic glioma hospital: latent truth and clinical table.

The distributions are those of `reference/methods.md`, section 4. Everything about a
patient is drawn here, from streams of their own, so that a patient's row is the same
whatever the size of the volumes and whatever the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from fednb.errors import InputError, UnknownNameError
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Site:
    """What tells one synthetic hospital from another.

    Attributes
    ----------
    grades
        Shares of the grades 2, 3 and 4.
    censoring
        Bounds of the uniform censoring time, in months.
    index
        Number of the site in the seeds.
    """

    grades: tuple[float, float, float]
    censoring: tuple[float, float]
    index: int


SITES: Final[Mapping[str, Site]] = MappingProxyType(
    {
        "A": Site(grades=(0.40, 0.44, 0.16), censoring=(12.0, 90.0), index=0),
        "B": Site(grades=(0.11, 0.09, 0.80), censoring=(6.0, 48.0), index=1),
        "C": Site(grades=(0.0, 0.0, 1.0), censoring=(20.0, 72.0), index=2),
        "D": Site(grades=(0.33, 0.33, 0.34), censoring=(24.0, 110.0), index=3),
    }
)

TABLE_COLUMNS: Final[tuple[Column, ...]] = (
    Column(
        name="age",
        kind="number",
        unit="years",
        lower=18.0,
        upper=90.0,
        step=5.0,
        resolution=1.0,
        description="Age at diagnosis",
    ),
    Column(name="sex", kind="category", levels=("F", "M"), description="Sex"),
    Column(
        name="grade",
        kind="category",
        levels=("2", "3", "4"),
        description="WHO grade",
    ),
    Column(name="idh", kind="binary", description="IDH mutation"),
    Column(name="codel", kind="binary", description="1p/19q codeletion"),
    Column(
        name="os_months",
        kind="number",
        unit="months",
        lower=0.0,
        upper=120.0,
        step=6.0,
        resolution=0.1,
        description="Time from diagnosis to death or last contact",
    ),
    Column(name="death", kind="binary", description="Death observed"),
)
"""Declaration of the clinical table, as its owner would write it."""

CLINICAL: Final = ("patient_id", *(column.name for column in TABLE_COLUMNS))
"""Columns of the table on disk; everything else stays in the truth."""

_SHAPE: Final = 1.2
_MEDIAN: Final = 60.0
_STREAMS: Final = MappingProxyType({"latents": 0, "ids": 1, "permute": 2})


def site(letter: str) -> Site:
    """Return the site called `letter`.

    Raises
    ------
    UnknownNameError
        There is no such site.
    """
    if letter not in SITES:
        raise UnknownNameError("phantom site", letter, SITES)
    return SITES[letter]


def stream(letter: str, seed: int, number: int, row: int = 0) -> np.random.Generator:
    """Return the random stream `number` of a site, or of one of its patients.

    Raises
    ------
    InputError
        `seed` is negative.
    """
    if seed < 0:
        message = f"A seed is a whole number from 0; {seed} was given."
        raise InputError(message)
    return np.random.default_rng([seed, site(letter).index, number, row])


def draw_patients(
    letter: str, n: int, seed: int, *, permute_labels: bool = False
) -> pd.DataFrame:
    """Draw the patients of one site.

    Parameters
    ----------
    letter
        ``"A"``, ``"B"``, ``"C"`` or ``"D"``.
    n
        Number of patients, at least 1.
    seed
        Whole number from 0; the same seed gives the same patients.
    permute_labels
        Shuffle IDH with codeletion, and time with death, against everything else:
        the control in which nothing can be learnt.

    Returns
    -------
    pandas.DataFrame
        One row a patient: the columns of `CLINICAL`, then the latent truth:
        ``location_frontal``, ``mismatch``, ``enhancement``, ``necrosis``,
        ``log_volume`` (of mL), ``u``, ``age_exact``, ``log_hazard``,
        ``survival_months`` and ``censoring_months``.

    Raises
    ------
    UnknownNameError
        `letter` is no site.
    InputError
        `n` or `seed` is out of range.
    """
    if n < 1:
        message = f"A hospital needs at least 1 patient; n={n} was given."
        raise InputError(message)
    place = site(letter)
    rng = stream(letter, seed, _STREAMS["latents"])
    frame = _disease(place, n, rng)
    _outcome(frame, place, rng)
    frame.insert(0, "patient_id", _patient_ids(n, stream(letter, seed, 1)))
    if permute_labels:
        _permute(frame, stream(letter, seed, _STREAMS["permute"]))
    latent = [name for name in frame.columns if name not in CLINICAL]
    return frame[[*CLINICAL, *latent]]


def _disease(place: Site, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw what a patient has and what the image will show."""
    grade = rng.choice(np.array([2, 3, 4]), size=n, p=np.array(place.grades))
    idh = rng.random(n) < np.select([grade == 2, grade == 3], [0.83, 0.71], 0.08)
    lower = grade < 4
    codel = (rng.random(n) < 0.38) & idh & lower
    age = np.where(idh, rng.normal(41.0, 11.5, n), rng.normal(60.0, 13.0, n))
    chance = np.select([codel, idh], [0.02, 0.42], 0.01)
    mismatch = (rng.random(n) < chance) & lower
    enhancement = rng.random(n) < _enhancing(grade, idh)
    dead_core = np.select([~lower & ~idh, ~lower & idh], [0.80, 0.35], 0.08)
    necrosis = (rng.random(n) < dead_core) & enhancement
    frontal = rng.random(n) < np.where(idh, 0.55, 0.28)
    log_volume = rng.normal(np.where(lower, 3.3, 3.5), 0.7)
    u = rng.normal(size=n)
    sex = np.where(rng.random(n) < 0.57, "M", "F")
    clipped = np.clip(age, 18.0, 90.0)
    return pd.DataFrame(
        {
            "age": np.rint(clipped).astype(int),
            "sex": sex,
            "grade": grade.astype(str),
            "idh": idh.astype(int),
            "codel": codel.astype(int),
            "location_frontal": frontal.astype(int),
            "mismatch": mismatch.astype(int),
            "enhancement": enhancement.astype(int),
            "necrosis": necrosis.astype(int),
            "log_volume": log_volume,
            "u": u,
            "age_exact": clipped,
        }
    )


def _enhancing(grade: NDArray[np.int64], idh: Flags) -> Floats:
    """Return the probability that a tumour takes up contrast medium."""
    mutant = np.select([grade == 2, grade == 3], [0.15, 0.45], 0.60)
    wildtype = np.where(grade == 4, 0.96, 0.55)
    return np.where(idh, mutant, wildtype)


def _outcome(frame: pd.DataFrame, place: Site, rng: np.random.Generator) -> None:
    """Add hazard, survival and censoring; times of the table are rounded."""
    grade = frame["grade"].to_numpy()
    hazard = (
        np.log(0.38) * frame["idh"]
        + np.select([grade == "3", grade == "4"], [np.log(2.24), np.log(3.86)], 0.0)
        + 0.25 * (frame["age_exact"] - 50.0) / 10.0
        + 0.20 * (frame["log_volume"] - 3.4)
        + 0.25 * frame["necrosis"]
        + 0.30 * frame["u"]
        + np.log(0.6) * frame["codel"]
    )
    unit = rng.exponential(size=len(frame)) / np.log(2.0) / np.exp(hazard)
    survival = _MEDIAN * unit ** (1.0 / _SHAPE)
    censoring = rng.uniform(*place.censoring, size=len(frame))
    observed = np.minimum(survival, censoring)
    frame["os_months"] = np.maximum(np.round(observed, 1), 0.1)
    frame["death"] = (survival <= censoring).astype(int)
    frame["log_hazard"] = hazard
    frame["survival_months"] = survival
    frame["censoring_months"] = censoring


def _patient_ids(n: int, rng: np.random.Generator) -> list[str]:
    """Return distinct ids that tell nothing and that no reader takes for numbers."""
    ids: dict[str, None] = {}
    while len(ids) < n:
        first = "abcdef"[int(rng.integers(6))]
        ids[first + rng.bytes(6).hex()[1:]] = None
    return list(ids)


def _permute(frame: pd.DataFrame, rng: np.random.Generator) -> None:
    """Shuffle the labels in two groups, so that nothing predicts either."""
    for names in (["idh", "codel"], ["os_months", "death"]):
        frame[names] = frame[names].to_numpy()[rng.permutation(len(frame))]
    frame[["idh", "codel", "death"]] = frame[["idh", "codel", "death"]].astype(int)

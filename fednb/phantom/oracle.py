"""What the best possible model reaches on the phantom: the true log-hazard's C.

A model's C belongs in [oracle - .08, oracle + 2 SD]; above that, something leaks
(`reference/methods.md`, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import FitError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

_MEASURED_N: Final = (100.0, 200.0, 400.0)
_MEASURED_SD: Final = (0.030, 0.020, 0.013)


@dataclass(frozen=True)
class OracleCounts:
    """Pairs of patients, counted within sites.

    Attributes
    ----------
    concordant
        Pairs in which the patient with the higher hazard dies first; ties count half.
    comparable
        Pairs whose order of death is known.
    patients
        Number of patients.
    """

    concordant: float
    comparable: int
    patients: int

    @property
    def c(self) -> float:
        """Concordance, concordant over comparable.

        Raises
        ------
        FitError
            No pair is comparable.
        """
        if self.comparable == 0:
            message = (
                f"None of the pairs of {self.patients} patients is comparable: nobody "
                "died before somebody else was last seen. Use more patients."
            )
            raise FitError(message)
        return self.concordant / self.comparable

    def bounds(self) -> tuple[float, float]:
        """Return the interval in which a sound model's C lies."""
        return self.c - 0.08, self.c + 2.0 * sd_of_c(self.patients)


def oracle_counts(truth: pd.DataFrame) -> OracleCounts:
    """Count the pairs that the true log-hazard orders rightly, site by site.

    Parameters
    ----------
    truth
        Columns ``os_months``, ``death`` and ``log_hazard``, and ``site`` where there
        is more than one; pairs are formed within a site only.

    Raises
    ------
    InputError
        A column is missing.
    """
    missing = {"os_months", "death", "log_hazard"} - set(truth.columns)
    if missing:
        message = f"The truth lacks {sorted(missing)}; it has {list(truth.columns)}."
        raise InputError(message)
    groups: Iterable[pd.DataFrame] = (
        [truth]
        if "site" not in truth.columns
        else [part for _, part in truth.groupby("site", sort=True)]
    )
    concordant, comparable = 0.0, 0
    for part in groups:
        good, pairs = _count(part)
        concordant += good
        comparable += pairs
    return OracleCounts(concordant, comparable, len(truth))


def sd_of_c(n: int) -> float:
    """Return the standard deviation of a test C at `n` patients.

    Measured .030, .020 and .013 at 100, 200 and 400; between them log-linear, outside
    as one over the root of `n`.

    Raises
    ------
    InputError
        `n` is below 1.
    """
    if n < 1:
        message = f"A test set needs at least 1 patient; n={n} was given."
        raise InputError(message)
    inside = float(np.clip(n, _MEASURED_N[0], _MEASURED_N[-1]))
    log_sd = np.interp(np.log(inside), np.log(_MEASURED_N), np.log(_MEASURED_SD))
    return float(np.exp(log_sd) * np.sqrt(inside / n))


def _count(part: pd.DataFrame) -> tuple[float, int]:
    """Count one site's pairs, a death at a time."""
    time = part["os_months"].to_numpy(dtype=float)
    event = part["death"].to_numpy(dtype=float) > 0
    risk = part["log_hazard"].to_numpy(dtype=float)
    concordant, comparable = 0.0, 0
    for i in np.flatnonzero(event):
        later = (time > time[i]) | ((time == time[i]) & ~event)
        comparable += int(later.sum())
        others = risk[later]
        concordant += float((others < risk[i]).sum() + 0.5 * (others == risk[i]).sum())
    return concordant, comparable

"""How many patients a dataset has, and how many of them have what, over the sites."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal

from fednb.display import html, text
from fednb.errors import UnknownNameError
from fednb.privacy.profiles import profile_named
from fednb.results.parts import (
    MAX_HEADING,
    PooledResult,
    count_text,
    dataset_heading,
    new_axes,
    plain,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.privacy.profiles import Profile, Rounding
    from fednb.privacy.tables import DescribeLayout

Kind = Literal["patients", "column", "modality"]

_HEADERS: Final = ("counted", "name", "n", "missing", "sites")
_ROUNDING: Final[dict[Rounding, str]] = {
    "nearest-10": "to the nearest 10",
    "midpoint-6": "to the middle of 1 to 6, 7 to 12, and so on",
}


@dataclass(frozen=True)
class PatientCount:
    """Patients who have something, added up over the sites.

    Attributes
    ----------
    kind, name
        ``"patients"`` without a name: all; a ``"column"``: those with a value that
        statistics would use; a ``"modality"``: those with a volume.
    n
        Sum of the sites' rounded counts; a count below the threshold adds 0, as none
        does.
    share
        `n` as a share of all patients, from the rounded counts, at most 1; NaN where
        either is suppressed.
    sites
        Number of sites whose count is in `n`: the others' are below the threshold.
    """

    kind: Kind
    name: str
    n: int
    share: float
    sites: int

    @property
    def missing(self) -> float:
        """Share of all patients who have none; few at a site look like nobody.

        A cohort that lacks fewer patients than the threshold has the count of all
        (disclosure rule 12).
        """
        return 1.0 - self.share


def patient_counts(
    layout: DescribeLayout,
    total: NDArray[np.float64],
    *,
    sites: int,
    profile: Profile,
) -> tuple[PatientCount, ...]:
    """Return the counts in a sum of vectors, in the order of the layout.

    Parameters
    ----------
    layout
        Of the vectors.
    total
        Their sum, shape (layout.size,).
    sites
        Number of vectors in the sum.
    profile
        Of the contract.

    Raises
    ------
    InputError
        The sum does not fit the layout.
    """
    cell = layout.decode(total)
    counts, hidden = cell.counts.tolist(), cell.suppressed.tolist()
    named: list[tuple[Kind, str]] = [("patients", "")]
    named += [("column", name) for name in layout.columns]
    named += [("modality", name) for name in layout.modalities]
    everybody = counts[0]

    def share(n: float) -> float:
        known = everybody and (n or profile.exact)
        # an earlier answer may be the larger one
        return min(n / everybody, 1.0) if known else math.nan

    return tuple(
        PatientCount(kind, name, round(n), share(n), sites - round(away))
        for (kind, name), n, away in zip(named, counts, hidden, strict=True)
    )


@dataclass(frozen=True, repr=False, kw_only=True)
class DescriptionResult(PooledResult):
    """A dataset in counts of patients, pooled over the sites.

    Attributes
    ----------
    dataset
        Name of the dataset.
    counts
        Of all patients, then by column, then by modality, in the order asked for.
    """

    dataset: str
    counts: tuple[PatientCount, ...]

    @property
    def subjects(self) -> int:
        """Number of patients, rounded; 0 stands for below the threshold."""
        return self.counts[0].n

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns counted."""
        return self._names("column")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities counted."""
        return self._names("modality")

    def column(self, name: str) -> PatientCount:
        """Return who has a value in a column.

        Raises
        ------
        UnknownNameError
            The column was not counted.
        """
        return self._of("column", name)

    def modality(self, name: str) -> PatientCount:
        """Return who has a volume of a modality.

        Raises
        ------
        UnknownNameError
            The modality was not counted.
        """
        return self._of("modality", name)

    def to_frame(self) -> pd.DataFrame:
        """Return the counts as a table.

        Returns
        -------
        pandas.DataFrame
            Indexed by kind (``"patients"``, ``"column"``, ``"modality"``) and name.
            Columns: n, share, missing, sites. ``n`` is missing where it is below the
            threshold.
        """
        import pandas as pd

        rows = [{**asdict(c), "missing": c.missing} for c in self.counts]
        columns = ["kind", "name", "n", "share", "missing", "sites"]
        frame = pd.DataFrame(rows, columns=columns).astype({"n": "Int64"})
        if not profile_named(self.profile).exact:
            frame["n"] = frame["n"].replace(0, pd.NA)
        return frame.set_index(["kind", "name"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw who has what as a share of all patients, one bar a column and modality.

        Parameters
        ----------
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        counts = self.counts[1:]
        axes = new_axes(ax, len(counts))
        for place, count in enumerate(counts):
            color = "C0" if count.kind == "column" else "C1"
            share = 0.0 if math.isnan(count.share) else count.share
            axes.barh(place, share, color=color)
        axes.set_yticks(range(len(counts)), [plain(c.name) for c in counts])
        axes.set_ylim(len(counts) - 0.5, -0.5)  # the first on top
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of patients who have it")
        return axes

    def _names(self, kind: Kind) -> tuple[str, ...]:
        return tuple(c.name for c in self.counts if c.kind == kind)

    def _of(self, kind: Kind, name: str) -> PatientCount:
        for count in self.counts:
            if (count.kind, count.name) == (kind, name):
                return count
        raise UnknownNameError(kind, name, self._names(kind))

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                c.kind,
                c.name,
                text.Digits(count_text(c.n, self.profile)),
                "" if i == 0 else text.Digits(text.number(c.missing, 2)),
                c.sites,
            )
            for i, c in enumerate(self.counts)
        ]

    def _heading(self) -> str:
        return dataset_heading("Description", self.dataset, self)

    def _rounding(self) -> str:
        """Say how sites round; the open profile says so by itself."""
        rules = profile_named(self.profile)
        if rules.rounding not in _ROUNDING:
            return ""
        return (
            f"Each site's counts are rounded {_ROUNDING[rules.rounding]}. Fewer than "
            f"{rules.threshold} patients count as none, and so do fewer than "
            f"{rules.threshold} who lack something."
        )

    def _text(self) -> str:
        rounding = self._rounding()
        rest = (rounding, "") if rounding else ()
        table = text.table(_HEADERS, self._rows())
        return self._page_text(self._heading(), "", table, "", *rest)

    def _html(self) -> Html:
        heading = html.element("p", html.escape(self._heading(), MAX_HEADING))
        rounding = self._rounding()
        rest = (html.element("p", rounding),) if rounding else ()
        return self._page_html(heading, html.table(_HEADERS, self._rows()), *rest)

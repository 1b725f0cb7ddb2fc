"""How well a network predicts, from sums and pair counts of the sites."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fednb.display import html, text
from fednb.errors import InputError, UnknownNameError
from fednb.results.parts import (
    MAX_HEADING,
    PooledResult,
    count_text,
    new_axes,
    plain,
    sites_line,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from fednb.display.html import Html

_HEADERS = ("split", "n", "AUC", "SE", "log-loss", "Brier")


def hanley_mcneil(auc: float, positives: int, negatives: int) -> float:
    """Return the standard error of an AUC.

    Parameters
    ----------
    auc
        Between 0 and 1.
    positives, negatives
        Number of patients of each class; rounded counts will do.

    Returns
    -------
    float
        NaN where a class is empty.

    Raises
    ------
    InputError
        The AUC lies outside [0, 1].

    Notes
    -----
    Hanley and McNeil, Radiology 143:29-36 (1982). Pairs across sites that are not
    compared make the true error slightly larger.
    """
    if not 0 <= auc <= 1:
        message = f"An AUC lies between 0 and 1; got {auc}."
        raise InputError(message)
    if min(positives, negatives) < 1:
        return math.nan
    q1 = auc / (2 - auc)
    q2 = 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (positives - 1) * (q1 - auc**2)
        + (negatives - 1) * (q2 - auc**2)
    ) / (positives * negatives)
    return math.sqrt(max(variance, 0.0))


@dataclass(frozen=True)
class SplitScore:
    """Scores on one split of the patients, pooled over the sites.

    Attributes
    ----------
    split
        ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
    auc
        From pairs within sites.
    auc_se
        Its standard error, DeLong's within each site; NaN if unknown.
    log_loss, brier
        Means over patients.
    n
        Patients, rounded.
    c_index
        Of a survival network, which has no AUC: Harrell's C from pairs within sites.
    c_index_se
        Its standard error, see `fednb.survival.pairs`; NaN if unknown.
    """

    split: str
    auc: float = math.nan
    auc_se: float = math.nan
    log_loss: float = math.nan
    brier: float = math.nan
    n: int = 0
    c_index: float = math.nan
    c_index_se: float = math.nan


@dataclass(frozen=True, repr=False, kw_only=True)
class EvaluationResult(PooledResult):
    """The result of an `EvaluationPlan`.

    Attributes
    ----------
    splits
        One score a split; the first one is the result's own `auc` and so on.
    target
        Column that is predicted.
    """

    splits: tuple[SplitScore, ...]
    target: str

    def of(self, split: str) -> SplitScore:
        """Return the score on a split.

        Raises
        ------
        UnknownNameError
            The plan did not evaluate that split.
        """
        for score in self.splits:
            if score.split == split:
                return score
        raise UnknownNameError("split", split, [s.split for s in self.splits])

    @property
    def auc(self) -> float:
        """AUC on the first split."""
        return self.splits[0].auc

    @property
    def auc_se(self) -> float:
        """Standard error of `auc`."""
        return self.splits[0].auc_se

    @property
    def c_index(self) -> float:
        """C on the first split; NaN where the network predicts no survival."""
        return self.splits[0].c_index

    @property
    def c_index_se(self) -> float:
        """Standard error of `c_index`."""
        return self.splits[0].c_index_se

    @property
    def _survival(self) -> bool:
        return any(math.isfinite(s.c_index) for s in self.splits)

    @property
    def log_loss(self) -> float:
        """Mean log-loss on the first split."""
        return self.splits[0].log_loss

    @property
    def brier(self) -> float:
        """Brier score on the first split."""
        return self.splits[0].brier

    @property
    def n(self) -> int:
        """Patients of the first split, rounded."""
        return self.splits[0].n

    def to_frame(self) -> pd.DataFrame:
        """Return one row a split, indexed by it; columns as in `SplitScore`."""
        import pandas as pd

        names = list(SplitScore.__dataclass_fields__)
        rows = [asdict(score) for score in self.splits]
        return pd.DataFrame(rows, columns=names).set_index("split")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw each split's AUC with its 95 % interval, or C; return the axes."""
        axes = new_axes(ax)
        places = range(len(self.splits))
        errors = [s.c_index_se if self._survival else s.auc_se for s in self.splits]
        spread = [1.96 * error if error > 0 else 0.0 for error in errors]
        axes.errorbar(
            [s.c_index if self._survival else s.auc for s in self.splits],
            places,
            xerr=spread,
            fmt="ks",
            capsize=3,
        )
        axes.axvline(0.5, linestyle="--", color="grey", linewidth=1)
        axes.set_yticks(places, [plain(s.split) for s in self.splits])
        axes.set_ylim(len(self.splits) - 0.5, -0.5)  # the first on top
        axes.set_xlabel("C (95 % CI)" if self._survival else "AUC (95 % CI)")
        return axes

    def _headers(self) -> tuple[str, ...]:
        return ("split", "n", "C", "SE") if self._survival else _HEADERS

    def _rows(self) -> list[tuple[object, ...]]:
        if self._survival:
            shown = [text.Digits(count_text(s.n, self.profile)) for s in self.splits]
            return [
                (s.split, n, s.c_index, s.c_index_se)
                for s, n in zip(self.splits, shown, strict=True)
            ]
        return [
            (
                s.split,
                text.Digits(count_text(s.n, self.profile)),
                s.auc,
                s.auc_se,
                s.log_loss,
                s.brier,
            )
            for s in self.splits
        ]

    def _heading(self) -> str:
        return sites_line(f"Evaluation of {text.visible(self.target)}", self.sites)

    def _text(self) -> str:
        grid = text.table(self._headers(), self._rows())
        return self._page_text(self._heading(), "", grid, "")

    def _html(self) -> Html:
        heading = html.element("p", html.escape(self._heading(), MAX_HEADING))
        return self._page_html(heading, html.table(self._headers(), self._rows()))

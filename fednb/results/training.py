"""What a training run leaves: weights in the coordinator's store, and its curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import RunError
from fednb.results.parts import new_axes, releases_html, releases_line

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.records.service import ReleaseLine, RoundLine
    from fednb.records.tasks import ModelRef

Loader = Callable[[], Mapping[str, "NDArray[np.generic]"]]
"""Reads the weights from the coordinator's store."""


@dataclass(frozen=True)
class RoundRecord:
    """One round of training, pooled over the sites.

    Attributes
    ----------
    round
        From 0.
    train_loss, validation_loss, validation_auc, validation_c
        NaN where the round had none; a survival network has C in place of an AUC.
    seconds
        Wall time of the round.
    bytes
        Bytes that crossed, both ways, all sites together.
    """

    round: int
    train_loss: float = math.nan
    validation_loss: float = math.nan
    validation_auc: float = math.nan
    seconds: float = 0.0
    bytes: int = 0
    validation_c: float = math.nan

    @classmethod
    def of(cls, line: RoundLine) -> Self:
        """Return what the coordinator's service recorded of a round.

        Figures other than this record's own are left out.
        """
        own = ("train_loss", "validation_loss", "validation_auc", "validation_c")
        figures = {name: line.metrics[name] for name in own if name in line.metrics}
        return cls(line.round, **figures, seconds=line.seconds, bytes=line.bytes)

    @property
    def index(self) -> float:
        """AUC or C on the validation patients."""
        auc = self.validation_auc
        return auc if math.isfinite(auc) else self.validation_c


def rounds_of(lines: Sequence[RoundLine], calls: int = 1) -> tuple[RoundRecord, ...]:
    """Return the rounds of training; halves of a round are put together.

    Parameters
    ----------
    lines
        What was recorded, in order.
    calls
        Halves of a round: 1 or 2, the last of which has the figures.
    """
    found = []
    for last in range(calls - 1, len(lines), calls):
        parts = lines[last - calls + 1 : last + 1]
        record = RoundRecord.of(lines[last])
        seconds, size = sum(p.seconds for p in parts), sum(p.bytes for p in parts)
        number = last // calls
        found.append(replace(record, round=number, seconds=seconds, bytes=size))
    return tuple(found)


@dataclass(frozen=True, repr=False)
class TrainedModel(Shown):
    """A network in the coordinator's store; plans accept it in place of its `ref`.

    Attributes
    ----------
    ref
        Hash of the weights, and the plan that trained them.
    parameters
        Number of weights.
    """

    ref: ModelRef
    parameters: int

    def _facts(self) -> list[tuple[str, object]]:
        plan = self.ref.training
        return [
            ("Network", plan.network.name),
            ("Target", str(plan.target)),
            ("Weights", text.human_count(self.parameters)),
            ("SHA-256", self.ref.sha256),
        ]

    def _text(self) -> str:
        return text.fields(self._facts())

    def _html(self) -> Html:
        return html.definition_list(self._facts())


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainingResult(Shown):
    """The result of a `TrainingPlan`; plans accept it in place of its `ref`.

    Attributes
    ----------
    run, contract
        Id of the run; hash of the contract.
    ref
        Hash of the weights, and the plan that trained them.
    parameters
        Number of weights of the network.
    strategy
        Name of the strategy.
    sites
        Sites that took part.
    rounds
        One record a round, in order.
    releases
        What left the sites.
    loader
        Reads the weights; None where they are not kept, as in a dry run.
    dry_run
        Whether it ran on mock data.
    """

    run: str
    contract: str
    ref: ModelRef
    parameters: int
    strategy: str
    sites: tuple[str, ...]
    rounds: tuple[RoundRecord, ...]
    releases: tuple[ReleaseLine, ...] = ()
    loader: Loader | None = field(default=None, compare=False)
    dry_run: bool = False

    @property
    def model_sha256(self) -> str:
        """Hash of the flat float32 weights."""
        return self.ref.sha256

    @property
    def model(self) -> TrainedModel:
        """The network, to name in a later plan."""
        return TrainedModel(self.ref, self.parameters)

    def weights(self) -> dict[str, NDArray[np.generic]]:
        """Read the weights from the coordinator's store, by parameter name.

        Raises
        ------
        RunError
            The weights were not kept.
        """
        if self.loader is None:
            message = f"The weights of run {self.run} were not kept."
            raise RunError(message)
        return dict(self.loader())

    def to_frame(self) -> pd.DataFrame:
        """Return one row a round, indexed by `round`; columns as in `RoundRecord`."""
        import pandas as pd

        names = list(RoundRecord.__dataclass_fields__)
        rows = [asdict(record) for record in self.rounds]
        return pd.DataFrame(rows, columns=names).set_index("round")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curves: losses on the left axis, validation AUC or C on the right.

        Parameters
        ----------
        ax
            Axes to draw on; None for a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            The axes of the losses.
        """
        axes = new_axes(ax)
        curves = {
            "train loss": [r.train_loss for r in self.rounds],
            "validation loss": [r.validation_loss for r in self.rounds],
        }
        lines: list[Any] = []
        for name, values in curves.items():
            lines += axes.plot(*_measured(self.rounds, values), marker=".", label=name)
        values = [r.index for r in self.rounds]
        if any(math.isfinite(value) for value in values):
            right = axes.twinx()
            name = f"validation {self._index}"
            measured = _measured(self.rounds, values)
            lines += right.plot(*measured, "k--", marker=".", label=name)
            right.set_ylabel(self._index)
        axes.set_xlabel("round")
        axes.set_ylabel("loss")
        axes.locator_params(axis="x", integer=True)
        axes.legend(
            handles=lines,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=3,
            fontsize="small",
            frameon=False,
        )
        return axes

    def _facts(self) -> list[tuple[str, object]]:
        plan = self.ref.training
        seconds = sum(r.seconds for r in self.rounds)
        size = sum(r.bytes for r in self.rounds)
        return [
            (
                "Network",
                f"{plan.network.name}, {text.human_count(self.parameters)} weights",
            ),
            ("Target", str(plan.target)),
            ("Strategy", self.strategy),
            ("Sites", ", ".join(self.sites)),
            (
                "Rounds",
                f"{len(self.rounds)} in {text.human_seconds(seconds)}, "
                f"{text.human_bytes(size)} sent",
            ),
            ("Run", f"{self.run}, contract {self.contract[:12]}"),
            ("SHA-256", self.ref.sha256),
        ]

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                r.round,
                r.train_loss,
                r.validation_loss,
                r.index,
                text.Digits(text.human_seconds(r.seconds)),
                text.Digits(text.human_bytes(r.bytes)),
            )
            for r in self.rounds
        ]

    @property
    def _index(self) -> str:
        return "AUC" if self.ref.training.survival is None else "C"

    def _headers(self) -> tuple[str, ...]:
        named = ("round", "train loss", "validation loss", f"validation {self._index}")
        return (*named, "time", "sent")

    def _title(self) -> str:
        return "Dry run on mock data" if self.dry_run else "Training result"

    def _text(self) -> str:
        return "\n".join(
            [
                self._title(),
                text.fields(self._facts(), indent="  "),
                "",
                text.table(self._headers(), self._rows()),
                "",
                releases_line(self.releases),
            ]
        )

    def _html(self) -> Html:
        return html.element(
            "div",
            html.element("h3", self._title()),
            html.definition_list(self._facts()),
            html.details("Rounds", html.table(self._headers(), self._rows())),
            releases_html(self.releases),
        )


def _measured(
    rounds: Sequence[RoundRecord], values: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Return the rounds that have a value, and these: a line joins them."""
    pairs = zip(rounds, values, strict=True)
    known = [(r.round, value) for r, value in pairs if math.isfinite(value)]
    return [place for place, _ in known], [value for _, value in known]

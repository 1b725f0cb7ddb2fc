"""The mock half of a dataset: what a scientist may look at and try plans on."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import InputError
from fednb.imaging.readers import read_volume

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.records.datasets import DatasetCard
    from fednb.records.tasks import Plan

DryRunner = Callable[["Plan", "MockData"], object]


@dataclass(frozen=True, repr=False)
class MockData(Shown):
    """A mock table and mock volumes, signed by the owner.

    Attributes
    ----------
    card
        The dataset's card.
    files
        ``table.csv`` and ``images/<patient>/<modality>.nii.gz`` by relative name.
    dry_runner
        Runs a plan on it; None where the federation is not embedded.
    """

    card: DatasetCard
    files: dict[str, bytes]
    dry_runner: DryRunner | None = None

    @property
    def table(self) -> pd.DataFrame:
        """The mock table."""
        import pandas as pd

        return pd.read_csv(io.BytesIO(self.files["table.csv"]))

    @property
    def patients(self) -> tuple[str, ...]:
        """Mock patients who have volumes, sorted."""
        names = {Path(n).parent.name for n in self.files if n.startswith("images/")}
        return tuple(sorted(names))

    def volume(self, index: int, modality: str = "") -> NDArray[np.float32]:
        """Return a mock volume, float32, shape (X, Y, Z), RAS.

        Parameters
        ----------
        index
            Number of the mock patient.
        modality
            Empty: the first that the patient has.

        Raises
        ------
        InputError
            There is no such patient or volume.
        """
        if not 0 <= index < len(self.patients):
            message = f"There are {len(self.patients)} mock patients; got {index}."
            raise InputError(message)
        folder = f"images/{self.patients[index]}/"
        found = {
            Path(n).name.removesuffix(".gz").removesuffix(".nii"): n
            for n in self.files
            if n.startswith(folder)
        }
        chosen = modality or next(m for m in self.card.modalities if m in found)
        if chosen not in found:
            message = f"Mock patient {index} has {sorted(found)}, not {chosen!r}."
            raise InputError(message)
        name = Path(found[chosen]).name
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(self.files[found[chosen]])
            return read_volume(path).data

    def view(self, index: int = 0, modality: str = "") -> Figure:
        """Return three central slices of a mock volume as a figure."""
        from matplotlib.figure import Figure

        data = self.volume(index, modality)
        x, y, z = (size // 2 for size in data.shape)
        planes = {
            "sagittal": data[x, :, :],
            "coronal": data[:, y, :],
            "axial": data[:, :, z],
        }
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        for axes, (name, plane) in zip(
            figure.subplots(1, 3), planes.items(), strict=True
        ):
            axes.imshow(plane.T, origin="lower", cmap="gray")
            axes.set_title(name)
            axes.set_axis_off()
        figure.suptitle(f"mock {self.card.dataset}, patient {index} {modality}")
        return figure

    def save(self, folder: Path) -> Path:
        """Write the files below a folder and return it."""
        for name, data in self.files.items():
            target = folder / name
            if not target.resolve().is_relative_to(folder.resolve()):
                message = f"The mock holds a file outside its folder: {name!r}."
                raise InputError(message)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder

    def dry_run(self, plan: Plan) -> Any:  # noqa: ANN401
        """Run a plan on the mock; see `fednb.records.tasks.Plan.dry_run`.

        Raises
        ------
        InputError
            This federation cannot run plans by itself.
        """
        if self.dry_runner is None:
            message = "A dry run needs an embedded federation, such as fednb.demo()."
            raise InputError(message)
        return self.dry_runner(plan, self)

    def _facts(self) -> list[tuple[str, object]]:
        table = self.files["table.csv"].count(b"\n") - 1
        return [
            ("Mock of", f"{self.card.dataset} at {self.card.site}"),
            ("Rows", table),
            ("Patients with volumes", len(self.patients)),
            ("Columns", ", ".join(c.name for c in self.card.columns)),
        ]

    def _text(self) -> str:
        return text.fields(self._facts())

    def _html(self) -> Html:
        return html.definition_list(self._facts())

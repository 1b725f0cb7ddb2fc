"""The mock half of a dataset: what a scientist may look at and try plans on."""

from __future__ import annotations

import base64
import io
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import override

from fednb.display import html, text
from fednb.display.hooks import Shown, render
from fednb.errors import InputError, UnknownNameError
from fednb.imaging.readers import read_volume

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from fednb.display.html import Html
    from fednb.imaging.readers import Volume
    from fednb.records.contracts import Contract
    from fednb.records.datasets import DatasetCard
    from fednb.records.specs import Plan
    from fednb.results.rehearsal import Rehearsal


class DryRunner(Protocol):
    """Runs plans and contracts on mock data."""

    def __call__(self, plan: Plan, mock: MockData) -> object:
        """Run a plan and return its result."""

    def rehearse(
        self, contract: Contract, mock: MockData, patients: int = 0
    ) -> Rehearsal:
        """Run a contract's steps, and return what left and what it cost."""


@dataclass(frozen=True, repr=False, eq=False)
class MockView:
    """Mock volumes on one grid: live under a Jupyter kernel, a picture elsewhere.

    Attributes
    ----------
    title
        What is shown.
    volumes
        By modality: float32, (X, Y, Z), RAS.
    spacing
        Millimetres a voxel along each axis.
    modality
        The one shown first.
    """

    title: str
    volumes: dict[str, NDArray[np.float32]]
    spacing: tuple[float, float, float]
    modality: str

    @cached_property
    def figure(self) -> Figure:
        """Three central slices of the modality shown first."""
        from matplotlib.figure import Figure

        data, (dx, dy, dz) = self.volumes[self.modality], self.spacing
        x, y, z = (size // 2 for size in data.shape)
        planes = {
            "sagittal": (data[x, :, :], dz / dy),
            "coronal": (data[:, y, :], dz / dx),
            "axial": (data[:, :, z], dy / dx),
        }
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        panels = figure.subplots(1, 3)
        for axes, (name, (plane, aspect)) in zip(panels, planes.items(), strict=True):
            axes.imshow(plane.T, origin="lower", cmap="gray", aspect=aspect)
            axes.set_title(name)
            axes.set_axis_off()
        words = text.visible(f"{self.title} {self.modality}")
        figure.suptitle(words, parse_math=False)
        return figure

    @property
    def axes(self) -> list[Axes]:
        """The panels of `figure`."""
        return self.figure.axes

    @override
    def __repr__(self) -> str:
        size = " x ".join(map(str, self.volumes[self.modality].shape))
        names = ", ".join(self.volumes)
        return text.visible(f"{self.title}: {names}; {size} voxels")

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        del include, exclude  # IPython filters by itself
        bundle = render(self)
        return self.static() if bundle is None else bundle

    def static(self) -> dict[str, object]:
        """Return the MIME bundle for pages without a kernel: text and a PNG."""
        picture = io.BytesIO()
        self.figure.savefig(picture, format="png")
        encoded = base64.b64encode(picture.getvalue()).decode()
        return {"text/plain": repr(self), "image/png": encoded}


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

    def volume(self, index: int | str, modality: str = "") -> NDArray[np.float32]:
        """Return a mock volume, float32, shape (X, Y, Z), RAS.

        Parameters
        ----------
        index
            Number of the mock patient, or its id in the mock table.
        modality
            Empty: the first that the patient has.

        Raises
        ------
        InputError
            There is no such patient or volume.
        """
        found = self._modalities(index)
        return self._read(found[self._chosen(index, modality)]).data

    def view(self, index: int | str = 0, modality: str = "") -> MockView:
        """Return a mock patient's volumes, to be looked at.

        Parameters
        ----------
        index
            Number of the mock patient, or its id in the mock table.
        modality
            The one shown first. Empty: the first that the patient has.

        Raises
        ------
        InputError
            There is no such patient or volume.
        """
        chosen = self._chosen(index, modality)
        files = self._modalities(index)
        read = {name: self._read(files[name]) for name in sorted(files)}
        first = read[chosen]
        # one grid: a modality on another one can be asked for by its name
        alike = {n: v.data for n, v in read.items() if v.data.shape == first.data.shape}
        title = f"mock {self.card.dataset}, patient {index}"
        return MockView(title, alike, first.spacing, chosen)

    def _modalities(self, index: int | str) -> dict[str, str]:
        """Return the names of a patient's files by modality."""
        folder = f"images/{self._patient(index)}/"
        return {
            Path(n).name.removesuffix(".gz").removesuffix(".nii"): n
            for n in self.files
            if n.startswith(folder)
        }

    def _patient(self, index: int | str) -> str:
        if isinstance(index, str):
            if index not in self.patients:
                raise UnknownNameError("mock patient", index, self.patients)
            return index
        if not 0 <= index < len(self.patients):
            message = f"There are {len(self.patients)} mock patients; got {index}."
            raise InputError(message)
        return self.patients[index]

    def _chosen(self, index: int | str, modality: str) -> str:
        found = self._modalities(index)
        chosen = modality or next(m for m in self.card.modalities if m in found)
        if chosen not in found:
            message = f"Mock patient {index} has {sorted(found)}, not {chosen!r}."
            raise InputError(message)
        return chosen

    def _read(self, file: str) -> Volume:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(file).name
            path.write_bytes(self.files[file])
            return read_volume(path)

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
        return self._runner()(plan, self)

    def rehearse(self, contract: Contract, patients: int = 0) -> Rehearsal:
        """Run a contract on the mock: what leaves, and what a run would cost.

        Parameters
        ----------
        contract
            Of this dataset.
        patients
            To which time is scaled; 0: the card's rounded number.

        Raises
        ------
        InputError
            This federation cannot run plans by itself.
        PlanError
            A step builds on the result of another contract.
        """
        return self._runner().rehearse(contract, self, patients or self.card.subjects)

    def _runner(self) -> DryRunner:
        if self.dry_runner is None:
            message = "A dry run needs an embedded federation, such as fednb.demo()."
            raise InputError(message)
        return self.dry_runner

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

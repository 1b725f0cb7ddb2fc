"""A site's datasets as their owner sees them: what is published, and what is not."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.display.named import Named
from fednb.errors import HomeError, InputError
from fednb.imaging.tables import infer_columns
from fednb.privacy.profiles import profile_named
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from fednb.display.html import Html
    from fednb.records.datasets import DatasetCard
    from fednb.site.catalog import Registered

_COLUMNS = ("column", "kind", "unit", "bounds", "step", "levels", "count")


class _Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of declarations holds."""

    columns: tuple[Column, ...]


@dataclass(frozen=True, repr=False)
class OwnerDataset(Shown):
    """A dataset of the site: its published card beside what stays private.

    Attributes
    ----------
    card
        What the owner published.
    patients, volumes
        Exact numbers; they stay at the site.
    table, images, mock
        Where the halves lie; `images` is empty without volumes.
    warnings
        What the owner should look at, from the registration.
    """

    card: DatasetCard
    patients: int
    volumes: int
    table: str
    images: str
    mock: str
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.card.dataset

    def row(self) -> tuple[object, ...]:
        """Return the line of `OwnerDatasets` for this dataset."""
        return (
            self.name,
            self.patients,
            self.volumes,
            ", ".join(self.card.modalities),
            len(self.card.columns),
            text.utc(self.card.published),
        )

    def _published(self) -> list[tuple[str, object]]:
        card = self.card
        return [
            ("Summary", card.summary or None),
            ("Terms", card.terms or None),
            ("Patients", f"{card.subjects}, rounded (profile {card.profile})"),
            (
                "Modalities",
                ", ".join(f"{m} ({card.counts[m]})" for m in card.modalities) or None,
            ),
            ("GPUs", ", ".join(card.gpus) or None),
            ("Synthetic", "yes" if card.synthetic else "no"),
            ("Fingerprint", card.fingerprint),
        ]

    def _private(self) -> list[tuple[str, object]]:
        return [
            ("Patients", self.patients),
            ("Volumes", self.volumes),
            ("Table", self.table),
            ("Images", self.images or None),
            ("Mock", self.mock),
        ]

    def _columns(self) -> list[tuple[object, ...]]:
        return [_column(c, self.card.counts) for c in self.card.columns]

    def _text(self) -> str:
        lines = [f"Dataset {text.visible(self.name)} of {text.visible(self.card.site)}"]
        lines += [f"! {text.visible(w)}" for w in self.warnings]
        lines += ["", "Published", text.fields(self._published(), "  ")]
        lines += [text.table(_COLUMNS, self._columns(), indent="  ")]
        lines += ["", "Stays at the site", text.fields(self._private(), "  ")]
        return "\n".join(lines)

    def _html(self) -> Html:
        warnings = map(html.look, self.warnings)
        return html.element(
            "div",
            html.element("h2", f"Dataset {self.name} of {self.card.site}"),
            *warnings,
            html.section(
                "Published",
                html.definition_list(self._published()),
                html.table(_COLUMNS, self._columns()),
            ),
            html.section("Stays at the site", html.definition_list(self._private())),
        )


class OwnerDatasets(Named[OwnerDataset]):
    """The datasets of a site by name, as of when they were looked up."""

    kind = "dataset"
    headers = (
        "dataset",
        "patients",
        "volumes",
        "modalities",
        "columns",
        "published",
    )

    @override
    def _heading(self) -> str:
        count = text.counted(len(self), "dataset")
        return f"{count}; the numbers are exact and stay at the site"

    @override
    def _rows(self) -> list[tuple[object, ...]]:
        return [dataset.row() for dataset in self.values()]


def dataset_of(registered: Registered, warnings: tuple[str, ...] = ()) -> OwnerDataset:
    """Return a registered dataset as its owner sees it.

    Parameters
    ----------
    registered
        From the catalog.
    warnings
        From its registration.
    """
    manifest = registered.manifest
    return OwnerDataset(
        registered.card,
        len(manifest.patients),
        len(manifest.volumes),
        registered.table,
        registered.images,
        str(registered.mock),
        warnings,
    )


def read_columns(path: Path) -> tuple[Column, ...]:
    """Return the columns that an owner declared in a TOML file.

    Parameters
    ----------
    path
        Of ``[[columns]]`` tables with the fields of `fednb.records.datasets.Column`.

    Raises
    ------
    InputError
        The file cannot be read, or does not declare columns; the message says where.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_Declared).columns
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})."
        raise InputError(message) from error
    except msgspec.DecodeError as error:
        message = f"{path} does not declare columns ({error})."
        raise InputError(message) from error


def inferred_problems(frame: pd.DataFrame, profile: str) -> list[str]:
    """Return which undeclared labels of few patients would be published.

    A card names a column's labels. Where they are read from the table, a free text or
    a name would be published; the owner must have written down such labels.

    Parameters
    ----------
    frame
        The table.
    profile
        The site's disclosure profile: its threshold counts.

    Returns
    -------
    list of str
        One line for each such column.
    """
    threshold = profile_named(profile).threshold
    problems = []
    for column in infer_columns(frame):
        if column.kind != "category":
            continue
        labels = frame[column.name].dropna().astype(str)
        rare = int((labels.value_counts() < threshold).sum())
        if rare:
            problems.append(
                f"column {column.name}: {rare} of {len(column.levels)} labels have "
                f"fewer than {threshold} patients and would be published; declare the "
                "column with its labels, or leave it out of the declaration"
            )
    return problems


def _column(column: Column, counts: Mapping[str, int]) -> tuple[object, ...]:
    number = column.kind == "number"
    return (
        column.name,
        column.kind,
        column.unit,
        f"{column.lower:g} to {column.upper:g}" if number else "",
        f"{column.step:g}" if number else "",
        ", ".join(column.levels),
        counts.get(column.name),
    )


def csv_of(frame: Any) -> bytes:  # noqa: ANN401  (a pandas frame, checked here)
    """Return a frame as CSV: whole numbers without a point, truth values as 0 and 1."""
    if not hasattr(frame, "to_csv"):
        message = (
            f"table must be a CSV file or a DataFrame; got {type(frame).__name__}."
        )
        raise InputError(message)
    if frame.index.name == "patient_id":
        frame = frame.reset_index()
    plain = frame.convert_dtypes()
    truths = {c: "Int64" for c in plain.columns if plain[c].dtype == "boolean"}
    written: str = plain.astype(truths).to_csv(index=False)
    return written.encode()


def wait_for_lock(path: Path) -> int:
    """Return a handle on a file that nobody else holds; closing it lets go.

    Raises
    ------
    HomeError
        The file could not be made.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        message = f"{path} could not be locked ({error.strerror}); free space."
        raise HomeError(message) from error
    return handle

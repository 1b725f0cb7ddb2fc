"""What a federation over tables publishes where nobody declared anything."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from fednb.embedded.federation import Federation
from fednb.errors import DatasetError
from fednb.records.datasets import Column

if TYPE_CHECKING:
    from pathlib import Path


def frames(grades: dict[str, list[str]]):
    return {site: pd.DataFrame({"grade": values}) for site, values in grades.items()}


RARE = frames({"a": ["II"] * 12 + ["Jane Doe"] * 5, "b": ["II"] * 8 + ["IV"] * 10})


@pytest.mark.parametrize(
    ("profile", "threshold"), [("standard", 10), ("rare-disease", 7)]
)
def test_a_label_that_few_patients_have_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, threshold: int
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        Federation.from_frames(RARE, profile=profile)
    assert caught.value.problems == (
        f"column grade: 1 of 3 labels have fewer than {threshold} patients and would "
        "be published; declare the column with its labels, or leave it out of the "
        "declaration",
    )
    assert list(tmp_path.iterdir()) == []


def levels_of(fed: Federation):
    with fed:
        (column,) = fed.owner("a").datasets["table"].card.columns
        return column.levels


def test_a_label_that_enough_patients_have_together_is_published():
    together = frames({"a": ["II"] * 12 + ["IV"] * 5, "b": ["IV"] * 5})
    assert levels_of(Federation.from_frames(together)) == ("II", "IV")


def test_a_category_that_nobody_has_is_no_label():
    grade = pd.Categorical(["II"] * 12, categories=["II", "IV"])
    fed = Federation.from_frames({"a": pd.DataFrame({"grade": grade})})
    assert levels_of(fed) == ("II",)


def test_the_open_profile_publishes_every_label():
    fed = Federation.from_frames(RARE, profile="open")
    assert levels_of(fed) == ("II", "IV", "Jane Doe")


def test_a_label_that_was_declared_is_published():
    grade = Column("grade", "category", levels=("II", "IV", "Jane Doe"))
    fed = Federation.from_frames(RARE, columns=(grade,))
    assert levels_of(fed) == grade.levels

"""A dataset is registered whole or not at all, whatever fails on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from catalogued import create

from fednb.errors import HomeError

if TYPE_CHECKING:
    import sqlite3

    from fednb.records.datasets import DatasetCard
    from fednb.site.catalog import Catalog, Source
    from fednb.site.home import Home


def test_a_full_disk_registers_nothing(home: Home, catalog: Catalog, source: Source):
    (pages,) = home.database.execute("PRAGMA page_count").fetchone()
    home.database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(HomeError, match="database or disk is full"):
        create(catalog, replace(source, summary="x" * 100_000))
    assert catalog.names() == ()
    assert not (home.path / "mock" / "glioma").exists()
    home.database.execute("PRAGMA max_page_count = 1000000")
    create(catalog, source)
    assert catalog.names() == ("glioma",)


def test_a_dataset_is_stored_with_its_entry_or_not_at_all(
    home: Home, catalog: Catalog, source: Source
):
    entered: list[object] = []

    def enter(database: sqlite3.Connection, card: DatasetCard):
        entered.append(database.execute("SELECT name FROM datasets").fetchall())
        entered.append(card)
        if len(entered) == 2:
            message = "The ledger cannot be written."
            raise HomeError(message)

    def register():
        return catalog.create(source, profile="standard", gpus=(), enter=enter)

    with pytest.raises(HomeError, match="The ledger cannot be written"):
        register()
    assert catalog.names() == ()
    assert not (home.path / "mock" / "glioma").exists()
    card, _ = register()
    assert entered[::2] == [[("glioma",)]] * 2
    assert entered[3] == card == catalog.get("glioma").card


def test_a_mock_that_fails_half_way_leaves_nothing(
    home: Home,
    catalog: Catalog,
    imaged: Source,
    monkeypatch: pytest.MonkeyPatch,
):
    def full(*_args: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fednb.site.catalog.mock_images", full)
    with pytest.raises(HomeError, match="No space left on device"):
        create(catalog, imaged)
    assert not (home.path / "mock" / "glioma").exists()
    assert catalog.names() == ()


def test_a_syft_folder_that_cannot_be_written_is_a_warning(
    home: Home, catalog: Catalog, source: Source
):
    (home.path / "work").mkdir()
    (home.path / "work" / "manifests").write_text("in the way")
    card, warnings = create(catalog, source)
    assert len(warnings) == 1
    assert "is registered, but its syft folder could not be written" in warnings[0]
    assert catalog.get("glioma").card == card
    (home.path / "work" / "manifests").unlink()
    assert catalog.rebuild_syft().is_dir()

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError
from fednb.site.home import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


def test_settings_are_kept(home: Home):
    assert home.get("name") == ""
    home.put("name", "first")
    home.put("name", "ucsf")
    again = Home(home.path)
    assert again.get("name") == "ucsf"
    again.close()


def test_the_schema_has_every_table_of_a_site(home: Home):
    rows = home.database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = {name for (name,) in rows}
    assert names == {"site", "datasets", "contracts", "calls", "runs", "ledger"}


def test_a_home_of_a_newer_schema_is_refused(home: Home):
    home.database.execute("PRAGMA user_version = 99")
    with pytest.raises(HomeError) as caught:
        Home(home.path)
    assert str(caught.value) == (
        f"{home.path} has schema 99, made by a newer fednb; this one knows schema 1. "
        "Update fednb to open it."
    )


def test_no_home_is_no_home(tmp_path: Path):
    with pytest.raises(HomeError, match="There is no home at"):
        Home(tmp_path)


INSERT = "INSERT INTO calls VALUES (?, 'd', 'contract', 0, 'run', 1, 0, x'', '', 0.0)"


def test_one_place_in_a_run_has_one_answer(home: Home):
    """The schema itself holds law 5, whatever the code above it does."""
    home.database.execute(INSERT, ("first",))
    with pytest.raises(HomeError, match="refused a record"):
        home.database.execute(INSERT, ("second",))

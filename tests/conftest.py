"""Federations that tests share: real homes, real SQLite, a real worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clinics import federate, small_hospitals

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Three sites with tables, the standard profile, decisions by hand."""
    with federate(tmp_path_factory.mktemp("tables")) as fed:
        yield fed


@pytest.fixture
def fresh(tmp_path):
    """As `tables`, for one test that breaks things."""
    with federate(tmp_path) as fed:
        yield fed


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory) -> Path:
    """A folder with three small synthetic hospitals, not served by anybody."""
    return small_hospitals(tmp_path_factory.mktemp("hospitals"))

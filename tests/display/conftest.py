from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def hostile():
    """The strings and checks of `hostile.py`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "hostile.py")))

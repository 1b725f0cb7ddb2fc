from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _headless() -> Iterator[None]:
    """Draw without a screen, and close what a test has drawn."""
    mpl.use("Agg")
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def hostile():
    """The strings and checks of ``tests/display/hostile.py``."""
    path = Path(__file__).parents[1] / "display" / "hostile.py"
    return SimpleNamespace(**runpy.run_path(str(path)))

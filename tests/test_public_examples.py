"""What a new user tries first from ``help()`` runs as it is written there."""

from __future__ import annotations

import doctest
import inspect

import numpy as np
import pandas as pd
import pytest

import fednb

RECEIVED = {
    "EMBEDDING",
    "Code",
    "Contract",
    "DatasetCard",
    "connect",
    "demo",
    "errors",
    "rehearse",
    "strategies",
}
"""What no user writes by hand: it is received, or needs hospitals."""
SHOWN = sorted(set(fednb.__all__) - RECEIVED)


def tables(rows: int = 40) -> dict[str, pd.DataFrame]:
    """Return a small clinical table a site."""
    rng = np.random.default_rng(0)
    return {
        site: pd.DataFrame(
            {
                "age": rng.integers(30, 80, rows),
                "idh": rng.integers(0, 2, rows),
                "os_months": rng.exponential(20, rows).round(1) + 0.1,
                "death": rng.integers(0, 2, rows),
            }
        )
        for site in ("a", "b", "c")
    }


@pytest.mark.parametrize("name", SHOWN)
def test_the_example_in_its_help_runs(name, tmp_path):
    thing = getattr(fednb, name)
    text = inspect.getdoc(thing) or ""
    assert "Examples\n--------\n" in text, f"help(fednb.{name}) shows no example"
    names = {"fednb": fednb, name: thing, "folder": tmp_path, "tables": tables()}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples
    found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert found.failed == 0


def test_what_is_received_is_public():
    assert set(fednb.__all__) >= RECEIVED

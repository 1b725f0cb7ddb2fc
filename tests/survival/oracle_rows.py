"""Rows that R has seen, and what its package survival made of them.

The numbers are in ``fixtures``, with the script that made them: ``fixtures/curves.R``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FIXTURES = Path(__file__).parent / "fixtures"
GROUPS = ("a", "b", "c")


def of_r(name: str) -> pd.DataFrame:
    """Return a table by the name of its file without ``curves_``."""
    return pd.read_csv(FIXTURES / f"curves_{name}.csv")


def codes(column: pd.Series) -> list[int]:
    """Return labels as numbers in the order of the alphabet."""
    return pd.Categorical(column).codes.astype(int).tolist()

"""Data and oracles shared by the survival tests."""

from pathlib import Path

import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def brca() -> pd.DataFrame:
    """Fed-TCGA-BRCA with its fold and region."""
    folder = SHARED / "fed_tcga_brca"
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: put the data beside the repository")
    table = pd.read_csv(folder / "brca.csv")
    split = pd.read_csv(folder / "train_test_split.csv")
    merged = table.merge(split, on="pid", validate="one_to_one")
    merged["region"] = merged["fold2"].str.rsplit("_", n=1).str[1].astype(int)
    return merged

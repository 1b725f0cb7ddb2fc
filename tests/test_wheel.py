"""The wheel installs into an empty environment and runs there (`make test-long`)."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = """
import numpy as np, pandas as pd, fednb
if __name__ == "__main__":
    rng = np.random.default_rng(0)
    table = {"age": rng.integers(30, 80, 60), "ill": rng.integers(0, 2, 60)}
    frames = {name: pd.DataFrame(table) for name in ("a", "b", "c")}
    with fednb.Federation.from_frames(frames, dataset="t", approve="auto") as fed:
        print(fed.statistics("t", ["age"], by="ill"))
"""


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        command, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.long
def test_a_fresh_environment_runs_the_wheel(tmp_path):
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
        *("--wheel-dir", str(tmp_path), str(ROOT)),
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("fednb-*.whl")
    assert wheel.stat().st_size < 25e6
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    # torch first: whatever depends on it then keeps the CPU build
    run(python, "-m", "pip", "install", "--quiet", "torch==2.13.0", cwd=tmp_path)
    run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=tmp_path)
    script = tmp_path / "tables.py"
    script.write_text(TABLES)
    assert "Statistics of t from 3 sites" in run(python, str(script), cwd=tmp_path)
    fednb = str(tmp_path / "env" / "bin" / "fednb")
    assert run(fednb, "--version", cwd=tmp_path).startswith("fednb 0.1.0")

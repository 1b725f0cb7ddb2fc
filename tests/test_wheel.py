"""The wheel installs into an empty environment and runs there (`make test-long`)."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAB = "data/share/jupyter/labextensions/@fednb/lab/"
SHARED = (
    f"{LAB}package.json",
    f"{LAB}install.json",
    f"{LAB}static/style.js",
    "data/etc/jupyter/jupyter_server_config.d/fednb.json",
)
_PAINT = re.compile(r"\x1b\[\d+m")
TABLES = """
import numpy as np, pandas as pd, fednb
if __name__ == "__main__":
    rng = np.random.default_rng(0)
    table = {"age": rng.integers(30, 80, 60), "ill": rng.integers(0, 2, 60)}
    frames = {name: pd.DataFrame(table) for name in ("a", "b", "c")}
    with fednb.Federation.from_frames(frames, dataset="t", approve="auto") as fed:
        print(fed.statistics("t", ["age"], by="ill"))
"""


def run(*command: str, cwd: Path, logged: bool = False) -> str:
    done = subprocess.run(  # noqa: S603  (our own interpreter)
        command, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + (done.stderr if logged else "")


def assert_ships_the_panel(wheel: Path) -> None:
    """What Jupyter needs is in the wheel once; what only the build needs is not."""
    names = zipfile.ZipFile(wheel).namelist()
    shared = [name.partition(".data/")[2] for name in names if ".data/" in name]
    assert set(SHARED) <= set(shared)
    entries = [name for name in names if "remoteEntry" in name]
    assert len(entries) == 1
    assert entries[0].partition(".data/")[2].startswith(f"{LAB}static/")
    viewer = "fednb/widgets/static/itk-vtk-viewer/itkVtkViewer.js"
    assert viewer in names
    unwanted = ("node_modules", ".ts", "tests/", "yarn.lock")
    assert not [n for n in names if any(part in n for part in unwanted)]


def assert_jupyter_finds_the_panel(scripts: Path, cwd: Path) -> None:
    """JupyterLab and Jupyter Server both say that their half is there and valid."""
    jupyter = str(scripts / "jupyter")
    for what, name in (
        (("labextension",), "@fednb/lab"),
        (("server", "extension"), "fednb.serverextension"),
    ):
        said = run(jupyter, *what, "list", cwd=cwd, logged=True)
        words = [line.split() for line in _PAINT.sub("", said).splitlines()]
        assert any(name in line and "OK" in line for line in words), said


@pytest.mark.long
def test_a_fresh_environment_runs_the_wheel(tmp_path):
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
        *("--wheel-dir", str(tmp_path), str(ROOT)),
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("fednb-*.whl")
    assert wheel.stat().st_size < 25e6
    assert_ships_the_panel(wheel)
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
    assert_jupyter_finds_the_panel(tmp_path / "env" / "bin", tmp_path)

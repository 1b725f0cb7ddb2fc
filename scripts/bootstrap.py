"""Make the virtual environment: torch first, then fednb with its development tools.

Usage: python scripts/bootstrap.py .venv

A torch that is installed already is kept. Where there is no NVIDIA GPU, a CPU build is
asked for first: the default build brings gigabytes of CUDA libraries.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def run(*command: str) -> int:
    """Run a command and return its exit status."""
    return subprocess.run(command, check=False).returncode  # noqa: S603


def pip(python: str, *what: str) -> int:
    """Install something without compiling it: that is done once, for all of it."""
    return run(python, "-m", "pip", "install", "--quiet", "--no-compile", *what)


def compile_all(python: str, folder: Path) -> None:
    """Compile what was installed on all cores; pip takes one file after the other."""
    # what no Python of this version reads, as templates of code, stays as it is
    run(python, "-m", "compileall", "-qq", "-j", "0", str(folder / "lib"))


def install_torch(python: str) -> None:
    """Install torch unless the environment has one."""
    if run(python, "-c", "import torch") == 0:
        return
    attempts: list[tuple[str, ...]] = [(TORCH,)]
    if not shutil.which("nvidia-smi") and platform.system() == "Linux":
        # a CPU build from a local source or the CPU index, else whatever there is
        cpu = f"{TORCH}+cpu"
        attempts = [(cpu,), (cpu, "--extra-index-url", CPU_INDEX), (TORCH,)]
    for attempt in attempts:
        if pip(python, *attempt) == 0:
            return


def main() -> int:
    """Make the environment that the first argument names."""
    folder = Path(sys.argv[1])
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install_torch(python)
    status = pip(python, "--editable", ".[dev,dicom,flare]")
    compile_all(python, folder)
    return status


if __name__ == "__main__":
    sys.exit(main())

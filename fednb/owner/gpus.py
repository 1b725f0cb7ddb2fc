"""The GPUs of a site's machine, as its card names them."""

from __future__ import annotations

import shutil
import subprocess


def gpu_names() -> tuple[str, ...]:
    """Return the names of this machine's GPUs; empty where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(  # noqa: S603  (a fixed command of the driver)
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())

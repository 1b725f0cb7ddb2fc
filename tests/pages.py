"""Widgets' scripts under node, on pages that only remember."""

from __future__ import annotations

import shutil
import subprocess

NODE = shutil.which("node") or "node"


def node(*arguments: object, given: str = "") -> str:
    """Run a script and return what it printed."""
    command = [NODE, *map(str, arguments)]
    found = subprocess.run(  # noqa: S603  (our own script)
        command, input=given, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout

"""Install the Chromium that tests/browser drive, where this user may.

Usage: python scripts/install_chromium.py

Elsewhere the tests say what to install; they need it where CI or
FEDNB_REQUIRE_BROWSER is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet")


def install() -> None:
    """Install Debian's package; where that fails, nothing else is tried."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (
        ("update",),
        ("install", "--yes", "--no-install-recommends", NAMES[0]),
    ):
        subprocess.run((*APT, *step), env=quiet, check=False)  # noqa: S603


def main() -> int:
    """Return 0 where there is a browser now, or where none is required."""
    if any(map(shutil.which, NAMES)):
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install()
    required = os.environ.get("CI") or os.environ.get("FEDNB_REQUIRE_BROWSER")
    return 0 if shutil.which(NAMES[0]) or not required else 1


if __name__ == "__main__":
    sys.exit(main())

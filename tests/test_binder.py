"""Binder: its Dockerfile, and its steps with notebook 02 in 2 GB (`make test-long`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import venv
from pathlib import Path

import psutil
import pytest
from browser.conftest import FLAGS, chromium
from browser.lab import LabPage, LabServer, Watch
from playwright.sync_api import sync_playwright

from fednb.phantom.demo import HOSPITALS, DemoSize, usual_folder

ROOT = Path(__file__).parents[1]
NOTEBOOK = "notebooks/02_scientist_and_owner.ipynb"
LIMIT_BYTES = 2 * 1024**3
FIRST_RESULT_SECONDS = 180.0
FEW_SECONDS = 0.2


def run(*command: str, **named: object) -> str:
    done = subprocess.run(  # noqa: S603  (what Binder runs)
        command, capture_output=True, text=True, check=False, **named
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def environment(folder: Path, *packages: str) -> Path:
    """Make an environment with packages, and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    if packages:
        run(str(python), "-m", "pip", "install", "--quiet", *packages)
    return python


def clone(folder: Path) -> Path:
    """Lay out what Git knows of, as Binder sees it."""
    listed = run("git", "-C", str(ROOT), "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return folder


def cells() -> list[str]:
    book = json.loads((ROOT / NOTEBOOK).read_text())
    return ["".join(cell["source"]) for cell in book["cells"]]


class Memory:
    """The resident memory of a process and all that it started, at its highest.

    Pages that processes share count for each: more than Binder counts.
    """

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _family(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def _watch(self) -> None:
        while not self._over.wait(FEW_SECONDS):
            total = 0
            for process in self._family():
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)
            if total > LIMIT_BYTES:
                for process in reversed(self._family()):
                    process.kill()
                return


def test_the_link_and_the_panel_name_what_is_there(monkeypatch):
    """Fast: what is written down twice agrees."""
    monkeypatch.delenv("FEDNB_HOME", raising=False)
    assert f"urlpath=lab/tree/{NOTEBOOK}" in (ROOT / "README.md").read_text()
    assert any("fednb.DemoSize.small()" in source for source in cells())
    start = (ROOT / "binder" / "start").read_text()
    home = usual_folder(DemoSize.small()).expanduser().relative_to(Path.home())
    assert f'"$HOME/{home}"' in start
    assert re.findall(r"\$hospitals/(\w+)", start) == list(HOSPITALS)


@pytest.mark.long
def test_the_dockerfile_prints(tmp_path):
    python = environment(tmp_path / "env", "jupyter-repo2docker==2026.4.*")
    tool = str(python.with_name("jupyter-repo2docker"))
    page = run(tool, "--no-build", "--debug", str(clone(tmp_path / "clone")))
    for line in (
        'pip install --no-cache-dir -r "binder/requirements.txt"',
        "RUN ./binder/postBuild",
        'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"',
        "3.11",
    ):
        assert line in page


@pytest.mark.long
def test_notebook_02_runs_as_binder_runs_it_in_2_gb(tmp_path, capsys):
    repository = clone(tmp_path / "clone")
    python = environment(tmp_path / "env")
    wanted = ("-m", "pip", "install", "--quiet", "-r", "binder/requirements.txt")
    # where an index cannot be reached, as torch's own: no minute of retries a package
    run(str(python), *wanted, cwd=repository, env={**os.environ, "PIP_RETRIES": "0"})
    home = tmp_path / "home"
    home.mkdir()
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    folders = {"FEDNB_HOME": home / ".fednb", "MPLCONFIGDIR": home / "matplotlib"}
    named = {name: str(folder) for name, folder in folders.items()}
    own = {**os.environ, **named, "HOME": str(home), "PATH": path}
    run("bash", "binder/postBuild", cwd=repository, env=own)
    began = time.monotonic()
    server = LabServer(
        tmp_path,
        own,
        python=str(python),
        before=("bash", str(repository / "binder" / "start")),
        notebooks=repository,
    )
    memory = Memory(server.pid)
    try:
        server.wait()
        seconds = first_result(server, tmp_path / "profile", began)
    finally:
        memory.stop()
        server.close()
    with capsys.disabled():
        sys.stdout.write(
            f"\nBinder: first approved result {seconds:.0f} s after the start, peak "
            f"{memory.peak / 1e6:.0f} MB\n"
        )
    assert 0 < memory.peak <= LIMIT_BYTES
    assert seconds <= FIRST_RESULT_SECONDS


def first_result(server: LabServer, profile: Path, began: float) -> float:
    """Run the notebook in a browser; return when its first result was there."""
    watch = Watch(server.url)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium(), args=FLAGS
        )
        try:
            context.set_default_timeout(FIRST_RESULT_SECONDS * 1000)
            watch.follow(context)
            lab = LabPage(context.new_page(), server).open(NOTEBOOK)
            sources = cells()
            results = next(i for i, s in enumerate(sources) if "run.results()" in s)
            lab.run(*range(results + 1))
            seconds = time.monotonic() - began
            lab.run(*range(results + 1, len(sources)))
            lab.shoot("binder-notebook-02")
        finally:
            context.close()
    assert watch.strangers() == []
    return seconds

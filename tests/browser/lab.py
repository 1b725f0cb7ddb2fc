"""JupyterLab as a process of its own, and its pages as a person sees them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
START_SECONDS = 120.0
PATIENCE_MS = 60_000

NOTIFICATIONS = "lab/user-settings/@jupyterlab/apputils-extension/notification"
QUIET = {"checkForUpdates": False, "fetchNews": "false"}
"""JupyterLab asks others for news and updates unless it is told not to."""

_PANEL = "window.jupyterapp.shell.currentWidget"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class LabServer:
    """JupyterLab of this environment, with folders of its own, on 127.0.0.1."""

    def __init__(
        self,
        root: Path,
        extra: Mapping[str, str],
        *,
        python: str = sys.executable,
        before: tuple[str, ...] = (),
        notebooks: Path | None = None,
    ) -> None:
        self.root = notebooks or root / "notebooks"
        self.root.mkdir(exist_ok=True)
        self._program = (*before, python)
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.port}"
        self._tail: deque[str] = deque(maxlen=60)
        self._up = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter)
            self._command(),
            env=_environment(root, extra),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _command(self) -> tuple[str, ...]:
        return (
            *(*self._program, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *("--expose-app-in-browser", "--ServerApp.ip=127.0.0.1"),
            *(f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
        )

    def _read(self) -> None:
        for line in self._process.stdout:
            self._tail.append(line)
            if "is running at" in line:
                self._up.set()
        self._up.set()

    @property
    def pid(self) -> int:
        """Of the server, which starts the kernels."""
        return self._process.pid

    @property
    def output(self) -> str:
        """The newest lines that the server wrote."""
        return "".join(self._tail)

    def wait(self) -> None:
        assert self._up.wait(START_SECONDS), self.output
        assert self._process.poll() is None, self.output

    def write(self, name: str, cells: list[str]) -> str:
        """Lay a notebook out, and return its name."""
        book = {
            "cells": [_cell(i, source) for i, source in enumerate(cells)],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.root / name).write_text(json.dumps(book))
        return name

    def close(self) -> None:
        """End the server, its kernels and what they started, each by its id."""
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            family = [root, *root.children(recursive=True)]
        self._process.terminate()
        _, alive = psutil.wait_procs(family, timeout=15)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()


def _environment(root: Path, extra: Mapping[str, str]) -> dict[str, str]:
    folders = {
        "HOME": "home",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
        "XDG_CACHE_HOME": "cache",
        "XDG_CONFIG_HOME": "xdg",
        "FEDNB_HOME": "fednb",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "PYTEST", "XDG_"))
    }
    own = {name: str(root / folder) for name, folder in folders.items()}
    for path in own.values():
        Path(path).mkdir(exist_ok=True, parents=True)
    settings = root / "config" / f"{NOTIFICATIONS}.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    return {**kept, **own, "OMP_NUM_THREADS": "1", **extra}


def _cell(number: int, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


@dataclass
class Watch:
    """What pages asked for and complained about."""

    base: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def follow_sockets(self, page: Page) -> None:
        page.on("websocket", lambda found: self.requests.append(found.url))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location
            self.errors.append(f"{message.text} ({where.get('url', '')})")

    def strangers(self) -> list[str]:
        """Requests that went anywhere but to the server."""
        home = urlsplit(self.base).netloc
        parts = [(url, urlsplit(url)) for url in self.requests]
        return [
            url
            for url, part in parts
            if part.scheme in {"http", "https", "ws", "wss", "ftp"}
            and part.netloc != home
        ]


class LabPage:
    """One browser page with JupyterLab, and the notebook that is open in it."""

    def __init__(self, page: Page, server: LabServer) -> None:
        self.page = page
        self._server = server

    def open(self, name: str) -> LabPage:
        """Open a notebook, in a workspace of its own, with a kernel that answers."""
        space = re.sub(r"\W", "", name)
        path = f"lab/workspaces/{space}/tree/{name}?token={self._server.token}"
        self.page.goto(f"{self._server.url}/{path}")
        return self.ready()

    def ready(self) -> LabPage:
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.evaluate("window.jupyterapp.restored")
        self.page.wait_for_function(f"{_PANEL}?.sessionContext !== undefined")
        self.page.evaluate(
            f"""async () => {{
              const {{ sessionContext, context, revealed }} = {_PANEL};
              await Promise.all([context.ready, revealed, sessionContext.ready]);
              await sessionContext.session.kernel.info;
            }}"""
        )
        return self

    def start(self, number: int) -> None:
        """Run a cell without waiting for its end."""
        self.page.evaluate(
            f"""number => {{
              const {{ commands }} = window.jupyterapp;
              {_PANEL}.content.activeCellIndex = number;
              window.fednbCell = commands.execute('notebook:run-cell');
            }}""",
            number,
        )

    def end(self) -> None:
        """Wait for the end of the cell that was started last."""
        self.page.evaluate("async () => { await window.fednbCell; }")

    def run(self, *numbers: int) -> None:
        """Run cells, one after the other, and fail where one raised."""
        for number in numbers:
            self.start(number)
            self.end()
            error = self.cell(number).locator(
                "[data-mime-type='application/vnd.jupyter.error']"
            )
            assert not error.count(), error.first.inner_text()

    def cell(self, number: int) -> Locator:
        """The cell as it is on the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def save(self) -> None:
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute('docmanager:save')"
        )

    def reload(self) -> LabPage:
        self.page.reload()
        return self.ready()

    def close(self) -> None:
        """Close the page, then end the kernels: what they hold is free for the next."""
        self.page.close()
        ask = self.page.context.request
        headers = {"Authorization": f"token {self._server.token}"}
        sessions = f"{self._server.url}/api/sessions"
        for session in ask.get(sessions, headers=headers).json():
            ask.delete(f"{sessions}/{session['id']}", headers=headers)

    def shoot(self, name: str) -> None:
        """Keep a picture as build output."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

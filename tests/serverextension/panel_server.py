"""A real Jupyter Server beside the sites, in a process of its own."""

from __future__ import annotations

import http.cookiejar
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fednb.serverextension.homes import ServedHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "not-a-secret"  # noqa: S105  (of a server that this process starts)


@dataclass
class Answer:
    """What a server said."""

    status: int
    body: Any
    headers: Any


@dataclass
class Browser:
    """Asks a server: with its token, or with nothing but the cookies it gave."""

    base: str
    token: str = TOKEN
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def ask(self, path: str, body: object = None, **headers: str) -> Answer:
        if self.token:
            headers["Authorization"] = f"token {self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        sent = data.encode() if isinstance(data, str) else data
        url = self.base + path
        request = urllib.request.Request(url, data=sent, headers=headers)  # noqa: S310
        jar = urllib.request.HTTPCookieProcessor(self.cookies)
        try:
            reply = urllib.request.build_opener(jar).open(request, timeout=60)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            text = reply.read().decode()
        kind = reply.headers.get_content_type()
        read = json.loads(text) if kind == "application/json" else text
        return Answer(reply.status, read, reply.headers)


def id_of(path: Path) -> str:
    """Return the id under which a server knows a home."""
    return ServedHome(str(path)).id


def accepts(port: int) -> bool:
    """Tell whether somebody listens at a port of this machine."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(folder: Path, homes: str, *options: str) -> Iterator[Browser]:
    """Start a Jupyter Server with homes in its environment; stop it by its id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = ("CONFIG", "DATA", "RUNTIME")
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in kinds}
    named = {"FEDNB_SITE_HOME": homes, "JUPYTER_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    extensions = {"fednb.serverextension": True, "jupyterlab": False}
    command = (
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        f"--ServerApp.jpserver_extensions={extensions}",
        *options,
    )
    with subprocess.Popen(  # noqa: S603  (our own interpreter)
        command, env={**os.environ, **own, **named}, stderr=subprocess.PIPE, text=True
    ) as server:
        said: list[str] = []
        drain = threading.Thread(target=said.extend, args=(server.stderr,))
        drain.start()
        try:
            while not accepts(port):
                with suppress(subprocess.TimeoutExpired):
                    server.wait(0.1)
                    pytest.fail("".join(said))
            yield Browser(f"http://127.0.0.1:{port}/")
        finally:
            server.terminate()
            server.wait(60)
            drain.join(60)

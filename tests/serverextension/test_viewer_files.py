"""The viewer's files: served to users of this server, and nothing else."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest
from jupyter_server.auth import AllowAllAuthorizer, PasswordIdentityProvider
from tornado import httpclient, httpserver, testing, web

from fednb.serverextension import viewer_files

TOKEN = "a-token"  # noqa: S105  (of a server that lives as long as a test)
BASE = "/user/me/fednb/static/itk-vtk-viewer/"
SCRIPT = "itkVtkViewer.js"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Ask a server that has these files, with or without its token."""
    files = tmp_path / "viewer"
    (files / "itk").mkdir(parents=True)
    (files / SCRIPT).write_text("viewer")
    (files / "itk" / "a.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.js").write_text("secret")
    monkeypatch.setattr(viewer_files, "folder", lambda: files)

    async def asked(path: str, method: str, token: str) -> httpclient.HTTPResponse:
        identity = PasswordIdentityProvider(token=TOKEN)
        settings = {
            "base_url": "/user/me/",
            "identity_provider": identity,
            "authorizer": AllowAllAuthorizer(identity_provider=identity),
            "cookie_secret": b"0" * 32,
            "login_url": "/user/me/login",
            "allow_remote_access": True,
        }
        routes = viewer_files.handlers("/user/me/")
        server = httpserver.HTTPServer(web.Application(routes, **settings))
        socket, port = testing.bind_unused_port(address="127.0.0.1")
        server.add_sockets([socket])
        try:
            return await httpclient.AsyncHTTPClient(force_instance=True).fetch(
                f"http://127.0.0.1:{port}{path}",
                method=method,
                headers={"Authorization": f"token {token}"} if token else {},
                follow_redirects=False,
                raise_error=False,
            )
        finally:
            server.stop()
            await server.close_all_connections()

    def run(path: str, method: str = "GET", token: str = TOKEN):
        return asyncio.run(asked(path, method, token))

    return run


def test_a_file_is_answered_with_its_type(ask):
    found = ask(BASE + SCRIPT)
    assert (found.code, found.body) == (200, b"viewer")
    assert found.headers["Content-Type"].startswith("text/javascript")
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    wasm = ask(BASE + "itk/a.wasm")
    assert (wasm.code, wasm.body) == (200, b"\0asm")
    assert wasm.headers["Content-Type"] == "application/wasm"


def test_a_page_can_ask_whether_there_is_one(ask):
    found = ask(BASE + SCRIPT, "HEAD")
    assert (found.code, found.body) == (200, b"")
    assert found.headers["Content-Type"].startswith("text/javascript")
    assert ask(BASE + "other.js", "HEAD").code == 404


@pytest.mark.parametrize("token", ["", "another"])
def test_a_stranger_gets_nothing(ask, token):
    for method in ("GET", "HEAD"):
        found = ask(BASE + SCRIPT, method, token)
        assert found.code in {302, 403}
        assert b"viewer" not in found.body


@pytest.mark.parametrize("path", ["../secret.js", "%2e%2e/secret.js", "itk", ""])
def test_nothing_outside_the_folder_is_served(ask, path):
    found = ask(BASE + path)
    assert found.code in {301, 403, 404}
    assert b"secret" not in found.body


def test_the_folder_is_the_one_that_the_files_are_fetched_into():
    path = Path(__file__).parents[2] / "scripts" / "fetch_viewer.py"
    spec = importlib.util.spec_from_file_location("fetch_viewer", path)
    fetcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fetcher)
    assert viewer_files.folder().resolve() == fetcher.TARGET.resolve()
    assert f"dist/{SCRIPT}" in fetcher.FILES


def test_an_extension_app_puts_the_base_url_before_the_route_itself():
    ((pattern, handler, _),) = viewer_files.handlers("")
    assert pattern == r"fednb/static/itk-vtk-viewer/(.*)"
    assert handler is viewer_files.ViewerFilesHandler

"""One JupyterLab and one Chromium for all tests here.

Where Chromium is missing, the tests fail in CI, and elsewhere they are left out with a
message that says what to install.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from clinics import small_hospitals
from playwright.sync_api import expect, sync_playwright

from browser.lab import PATIENCE_MS, LabPage, LabServer, Watch

HERE = Path(__file__).parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
ADVICE = (
    "tests/browser need Chromium, which was not found: they were left out. Install it "
    "(Debian, Ubuntu: apt-get install chromium) and run them again."
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LEFT_OUT = pytest.StashKey[int]()
SLOW_MS = 240_000
"""WebGL by the processor alone: a first picture can take a minute."""


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def is_required() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("FEDNB_REQUIRE_BROWSER"))


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.browser)
    if ours and not chromium() and not is_required():
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)
        config.stash[LEFT_OUT] = len(ours)


def pytest_terminal_summary(terminalreporter, config):
    if LEFT_OUT in config.stash:
        terminalreporter.write_line(ADVICE, yellow=True)


@pytest.fixture(scope="package")
def hospitals(tmp_path_factory):
    """As the others', of whom nobody has asked anything yet."""
    return small_hospitals(tmp_path_factory.mktemp("unasked"))


@pytest.fixture(scope="package")
def copied(hospitals, tmp_path_factory):
    """Return a function that gives a test hospitals of its own, by a name."""

    def copy(name: str) -> Path:
        return shutil.copytree(hospitals, tmp_path_factory.mktemp(name) / "demo")

    return copy


@pytest.fixture(scope="package")
def owned(copied):
    """The hospitals of which the server's own user owns one, aspen."""
    return copied("owned")


@pytest.fixture(scope="package")
def server(owned, tmp_path_factory):
    """JupyterLab of this environment, at the site aspen."""
    extra = {"FEDNB_SITE_HOME": str(owned / "aspen")}
    lab = LabServer(tmp_path_factory.mktemp("lab"), extra)
    try:
        lab.wait()
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="package")
def watch(server):
    return Watch(server.url)


@pytest.fixture(scope="package")
def context(watch, tmp_path_factory):
    """A Chromium with a profile of its own."""
    path = chromium()
    assert path, "Chromium is required here, and missing: apt-get install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=path,
            args=FLAGS,
            viewport={"width": 1280, "height": 1400},
        )
        try:
            found.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            watch.follow(found)
            yield found
        finally:
            found.close()


@pytest.fixture
def lab(server, context, watch):
    """A fresh page; at its end nothing asked elsewhere, and nothing went wrong."""
    watch.requests.clear()
    watch.errors.clear()
    page = context.new_page()
    watch.follow_sockets(page)
    opened = LabPage(page, server)
    try:
        yield opened
    finally:
        opened.close()
    assert watch.requests
    assert watch.strangers() == []
    assert watch.errors == []


def in_a_browser(server, folder, flags, act):
    """Act on a page of another Chromium: Playwright lives once in a thread.

    Returns the paths that the page asked for, after the checks of `lab`.
    """
    watch = Watch(server.url)

    def go():
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                folder,
                executable_path=chromium(),
                args=flags,
                viewport={"width": 900, "height": 800},
            )
            try:
                context.set_default_timeout(SLOW_MS)
                watch.follow(context)
                page = context.new_page()
                watch.follow_sockets(page)
                act(LabPage(page, server))
            finally:
                context.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(go).result()
    assert watch.requests
    assert watch.strangers() == []
    assert watch.errors == []
    return [urlsplit(url).path for url in watch.requests]

"""Federations that tests share: real homes, real SQLite, a real worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import beside
import hypothesis
import pytest
import warm
from clinics import federate, small_hospitals

if TYPE_CHECKING:
    from pathlib import Path


# no test depends on how fast a machine is
hypothesis.settings.register_profile("fednb", deadline=None)
hypothesis.settings.load_profile("fednb")


def pytest_configure(config):
    if config.getoption("dist", "no") != "no":
        beside.keep_in_memory()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items[:] = beside.ordered(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return beside.Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _warm_workers():
    """Embedded federations take over each other's torch worker, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fednb.embedded.federation.WorkerProcess", warm.WarmWorker)
        yield
    warm.end()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Three sites with tables, the standard profile, decisions by hand."""
    with federate(tmp_path_factory.mktemp("tables")) as fed:
        yield fed


@pytest.fixture
def fresh(tmp_path):
    """As `tables`, for one test that breaks things."""
    with federate(tmp_path) as fed:
        yield fed


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory) -> Path:
    """A folder with three small synthetic hospitals, not served by anybody."""
    return small_hospitals(tmp_path_factory.mktemp("hospitals"))

"""One server for the tests of the routes: two homes, one folder that is none."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from clinics import federate
from panel_server import id_of, serving

from fednb.records.tasks import StatisticsPlan


@pytest.fixture(scope="session")
def hostile():
    """The strings and checks of the display layer's tests."""
    path = Path(__file__).parents[1] / "display" / "hostile.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def sites(tmp_path_factory):
    """Three sites that are served by a federation, while their owners decide."""
    with federate(tmp_path_factory.mktemp("sites")) as fed:
        yield fed


@pytest.fixture(scope="session")
def server(sites, tmp_path_factory):
    """A Jupyter Server: homes a and b by the environment, c by its configuration."""
    folder = tmp_path_factory.mktemp("jupyter")
    homes = [sites.owner("a").path, sites.owner("b").path, folder / "nothing-here"]
    more = f"--FednbExtension.site_homes={sites.owner('c').path}"
    with serving(folder, os.pathsep.join(map(str, homes)), more) as browser:
        browser.missing = id_of(homes[2])
        yield browser


@pytest.fixture
def asked(sites):
    """A request that waits at every site."""
    return sites.request(StatisticsPlan(("age",)), purpose="how old they are")

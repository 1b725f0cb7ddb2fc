"""One live federation for all tests here: a start takes ten seconds."""

from __future__ import annotations

import pytest
from worlds import embedded_world, flare_world


@pytest.fixture(scope="package")
def flare(hospitals, tmp_path_factory):
    """Server, keeper and three hospitals as processes under mTLS."""
    with flare_world(hospitals, tmp_path_factory.mktemp("flare")) as world:
        yield world


@pytest.fixture(scope="package")
def embedded(hospitals, tmp_path_factory):
    """The same hospitals in this process."""
    with embedded_world(hospitals, tmp_path_factory.mktemp("embedded")) as world:
        yield world


@pytest.fixture(params=["embedded", "flare"])
def world(request):
    """Either of them: the test is the same."""
    return request.getfixturevalue(request.param)

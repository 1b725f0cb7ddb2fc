"""Starting what cannot start leaves nothing running and nothing half-made."""

import json
import os
import socket

import pytest

from fednb.errors import HomeError, InputError
from fednb.flare import processes
from fednb.flare.provision import ProjectSpec, SiteSpec, provision


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_said_before_anything_is_made(taken, tmp_path):
    spec = ProjectSpec("p", (SiteSpec("a"),), port=taken)
    with pytest.raises(InputError, match=f"Port {taken} cannot be opened"):
        processes.up(tmp_path, spec)
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_starts_nothing(taken, tmp_path):
    spec = ProjectSpec("p", (SiteSpec("a"),), port=taken)
    provision(spec, tmp_path / "kits")
    with pytest.raises(InputError, match=f"Port {taken} cannot be opened"):
        processes.up(tmp_path, spec)
    assert {s.pid for s in processes.status(tmp_path)} == {0}


def test_a_users_kit_is_not_started(tmp_path):
    kits = provision(ProjectSpec("p", (SiteSpec("a"),)), tmp_path / "kits")
    with pytest.raises(InputError, match="is a user's kit"):
        processes.start(kits["scientist@fednb.local"])


def test_there_is_no_status_of_nothing(tmp_path):
    with pytest.raises(HomeError, match="There is no federation at"):
        processes.status(tmp_path)


def test_a_stale_mark_stops_nobody(tmp_path):
    # the test's own process began at another time than the mark says
    mark = {"pid": os.getpid(), "began": 1.0}
    (tmp_path / "fednb.pid").write_bytes(json.dumps(mark).encode())
    assert processes.pid_of(tmp_path) == 0
    processes.stop(tmp_path)
    assert not (tmp_path / "fednb.pid").exists()

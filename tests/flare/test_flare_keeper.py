"""What the keeper does at each look, over a stand-in for the server."""

import shutil
import threading

import msgspec
import pytest

from fednb.coordinator.store import Store
from fednb.errors import FednbError, InputError
from fednb.flare import keeper as keepers
from fednb.flare.controller import WORD
from fednb.flare.keeper import Keeper
from fednb.flare.kit import Kit
from fednb.flare.provision import ProjectSpec, SiteSpec, provision
from fednb.flare.session import FlarePort
from fednb.records.service import Event, Fault


class Server:
    """A server that is there or not, its sites and its sessions."""

    def __init__(self, kit) -> None:
        self.up = True
        self.connected = {"a", "b"}
        self.jobs = []
        self.logins = 0

    def log_in(self):
        if not self.up:
            raise ConnectionRefusedError
        self.logins += 1

    def log_out(self):
        pass

    def sessions(self):
        return list(self.jobs)

    def clients(self):
        return set(self.connected)

    def submit(self):
        self.jobs.append("job")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    project = ProjectSpec("p", (SiteSpec("a"), SiteSpec("b")))
    return provision(project, tmp_path_factory.mktemp("made") / "kits")


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    kits = {name: shutil.copytree(kit, tmp_path / name) for name, kit in made.items()}
    monkeypatch.setattr(keepers, "Admin", Server)
    monkeypatch.setattr(keepers, "pid_of", lambda _: 1)
    server = Kit(kits["coordinator"])
    return server, Keeper(server, Kit(kits["keeper@fednb.local"])), kits


def run_left(server, status, fault=None):
    store = Store(server.home)
    store.create_run("run", "contract", b"", b"")
    event = Event(0, 0.0, status, 0, 0, "")
    store.set_status("run", status, event=event, step=0, fault=fault)
    store.close()


def test_a_server_without_runs_is_left_alone(place):
    server, keeper, _ = place
    assert keeper.tend() == "well"
    Store(server.home).close()
    assert keeper.tend() == "well"
    assert keeper._admin.logins == 0


def test_a_lost_server_is_restarted(place, monkeypatch):
    server, keeper, _ = place
    started = []
    monkeypatch.setattr(keepers, "pid_of", lambda _: 0)
    monkeypatch.setattr(keepers, "start", started.append)
    assert keeper.tend() == "restarted"
    assert started == [server.path]


@pytest.mark.parametrize(
    ("status", "fault", "look"),
    [
        ("created", None, "opened"),
        ("running", None, "opened"),
        ("stopping", None, "opened"),
        ("paused", Fault("SiteDownError", ("a",)), "opened"),
        ("paused", None, "well"),
        ("completed", None, "well"),
        ("failed", Fault("FitError", ("no",)), "well"),
    ],
)
def test_a_session_is_opened_for_runs_that_nobody_paused(place, status, fault, look):
    server, keeper, _ = place
    run_left(server, status, fault)
    assert keeper.tend() == look
    # with a session there, or nothing to do, there is nothing more to do
    assert keeper.tend() == "well"


def test_what_a_session_left_word_of_goes_on(place):
    server, keeper, _ = place
    run_left(server, "paused")
    (server.home / WORD).write_bytes(msgspec.json.encode(["run"]))
    assert keeper.tend() == "opened"


def test_a_session_that_writes_is_not_looked_for(place):
    server, keeper, _ = place
    run_left(server, "running")
    session = Store(server.home)
    looks = []
    for name in ("first", "second", "third"):
        session.create_run(name, "contract", b"", b"")
        looks.append(keeper.tend())
    # nothing is known at the first look; at the last nothing was written since
    assert (looks, keeper._admin.logins) == (["opened", "well", "well"], 1)
    keeper._admin.jobs.clear()
    assert keeper.tend() == "opened"
    session.close()


def test_sites_are_waited_for(place):
    server, keeper, _ = place
    run_left(server, "running")
    keeper._admin.connected = {"a"}
    assert keeper.tend() == "waiting"
    keeper._admin.connected = {"a", "b"}
    assert keeper.tend() == "opened"


def test_a_server_that_is_coming_up_is_waited_for(place):
    server, keeper, _ = place
    run_left(server, "running")
    keeper._admin.up = False
    assert keeper.tend() == "waiting"
    keeper._admin.up = True
    assert keeper.tend() == "opened"


def test_an_error_does_not_end_the_watch(place, monkeypatch):
    _, keeper, _ = place
    ended = threading.Event()
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 2:
            ended.set()
        message = "the port is in use"
        raise FednbError(message)

    monkeypatch.setattr(keepers, "PERIOD_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "tend", look)
    keeper.watch(ended)
    assert len(looks) == 2


def test_a_keepers_kit_is_no_scientists(place):
    _, _, kits = place
    with pytest.raises(InputError, match="is the kit of a keeper"):
        FlarePort(Kit(kits["keeper@fednb.local"]), "00")

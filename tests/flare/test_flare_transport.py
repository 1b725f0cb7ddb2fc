"""The transport over a stand-in for FLARE's engine and cell, of the same signatures."""

import threading

import pytest
from nvflare.fuel.f3.cellnet.defs import ReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply

from fednb.errors import SiteDownError, UnknownNameError
from fednb.flare.transport import STREAM_BYTES, FlareTransport, wrapped
from fednb.records.messages import Collect, FetchMock, Ping, Propose
from fednb.wire.codec import encode

PING = encode(Ping())
WORK = encode(Collect("call"))
LARGE = encode(Propose(bytes(STREAM_BYTES), b""))


class Site:
    def __init__(self, name) -> None:
        self.name = name

    def get_fqcn(self):
        return f"relay.{self.name}"


class Cell:
    """Answers from a list; None stands for no reply."""

    def __init__(self, kind, engine) -> None:
        self.kind = kind
        self.engine = engine

    def get_fqcn(self):
        return "server.job-5"

    def send_request(self, channel, topic, target, request, timeout, optional):
        asked = (self.kind, channel, topic, target, request.payload, timeout, optional)
        self.engine.requests.append(asked)
        self.engine.asked.set()
        return self.engine.replies.pop(0)


class Engine:
    """Gives out a cell and the cell's core; answers come from a list."""

    def __init__(self, *replies) -> None:
        self.replies = list(replies)
        self.requests = []
        self.absent = ()
        self.asked = threading.Event()
        self.cell = Cell("stream", self)
        self.cell.core_cell = Cell("core", self)

    def get_client_from_name(self, client_name):
        return None if client_name in self.absent else Site(client_name)

    def get_cell(self):
        return self.cell


def reply(body=b"answer", code=ReturnCode.OK):
    return make_reply(code, body=None if body is None else wrapped(body))


def test_bytes_go_to_one_site_and_come_back():
    engine = Engine(reply(b"there"))
    transport = FlareTransport(engine, ["b", "a"])
    assert transport.sites() == ("a", "b")
    assert transport.call("a", PING, timeout=3.0) == b"there"
    target = "relay.a.job-5"
    assert engine.requests == [("core", "fednb", "fednb", target, PING, 3.0, True)]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (PING, "core"),
        (LARGE, "stream"),
        # what they ask for may be large
        (WORK, "stream"),
        (encode(FetchMock("table")), "stream"),
        # what no site can read is for the site to refuse
        (b"no frame", "core"),
    ],
)
def test_only_what_may_be_large_is_streamed(message, kind):
    engine = Engine(reply())
    assert FlareTransport(engine, ["a"]).call("a", message, timeout=1.0) == b"answer"
    assert [request[0] for request in engine.requests] == [kind]


@pytest.mark.parametrize(
    "away",
    [
        None,
        reply(code=ReturnCode.TARGET_UNREACHABLE),
        reply(code=ReturnCode.SERVICE_UNAVAILABLE),
        reply(body=None),
        reply(body="text"),
    ],
)
def test_a_site_that_does_not_answer_is_down(away):
    with pytest.raises(SiteDownError) as caught:
        FlareTransport(Engine(away), ["a"]).call("a", PING, timeout=1.0)
    assert caught.value.site == "a"


def test_an_unknown_site_is_named():
    with pytest.raises(UnknownNameError, match="Unknown site 'c'"):
        FlareTransport(Engine(), ["a", "b"]).call("c", PING, timeout=1.0)


def test_work_waits_for_a_site_that_is_away_for_a_moment():
    engine = Engine(None, reply(b"back"))
    assert FlareTransport(engine, ["a"]).call("a", WORK, timeout=1.0) == b"back"
    assert len(engine.requests) == 2


def test_patience_is_counted_over_all_calls():
    engine = Engine(None, None)
    transport = FlareTransport(engine, ["a"], patience=0.0)
    for _ in range(2):
        with pytest.raises(SiteDownError):
            transport.call("a", WORK, timeout=1.0)
    assert len(engine.requests) == 2


def test_a_closed_transport_lets_nobody_wait():
    engine = Engine()
    transport = FlareTransport(engine, ["a"])
    transport.close()
    with pytest.raises(SiteDownError):
        transport.call("a", WORK, timeout=1.0)
    assert engine.requests == []


def test_a_site_that_is_not_in_the_job_is_missing_and_not_asked():
    engine = Engine()
    engine.absent = ("b",)
    transport = FlareTransport(engine, ["a", "b"])
    assert transport.missing() == ("b",)
    with pytest.raises(SiteDownError):
        transport.call("b", PING, timeout=1.0)
    assert engine.requests == []


def test_closing_ends_a_wait_for_a_site_that_never_answers():
    engine = Engine()
    free = threading.Event()

    def wait(**_):
        engine.asked.set()
        free.wait()

    engine.cell.core_cell.send_request = wait
    transport = FlareTransport(engine, ["a"])
    closer = threading.Thread(target=lambda: engine.asked.wait() and transport.close())
    closer.start()
    with pytest.raises(SiteDownError):
        transport.call("a", PING, timeout=60.0)
    closer.join()
    free.set()

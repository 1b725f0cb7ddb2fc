"""The transport over a stand-in for FLARE's engine, of the same signature."""

from contextlib import nullcontext

import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from fednb.errors import SiteDownError, UnknownNameError
from fednb.flare.transport import BODY, FlareTransport
from fednb.records.messages import Collect, Ping
from fednb.wire.codec import encode

PING = encode(Ping())
WORK = encode(Collect("call"))


class Engine:
    """Answers from a list; what is not a reply is as FLARE has it."""

    def __init__(self, *replies) -> None:
        self.replies = list(replies)
        self.requests = []
        self.absent = ()

    def new_context(self):
        return nullcontext("context")

    def get_client_from_name(self, client_name):
        return None if client_name in self.absent else client_name

    def send_aux_request(
        self, targets, topic, request, timeout, fl_ctx, optional=False
    ):
        self.requests.append((targets, topic, request[BODY], timeout, fl_ctx, optional))
        reply = self.replies.pop(0)
        return {targets[0]: reply} if reply is not None else {}


def reply(body=b"answer", code=ReturnCode.OK):
    made = make_reply(code)
    if body is not None:
        made[BODY] = body
    return made


def test_bytes_go_to_one_site_and_come_back():
    engine = Engine(reply(b"there"))
    transport = FlareTransport(engine, ["b", "a"])
    assert transport.sites() == ("a", "b")
    assert transport.call("a", PING, timeout=3.0) == b"there"
    assert engine.requests == [(["a"], "fednb", PING, 3.0, "context", True)]


@pytest.mark.parametrize(
    "away",
    [
        None,
        reply(code=ReturnCode.COMMUNICATION_ERROR),
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

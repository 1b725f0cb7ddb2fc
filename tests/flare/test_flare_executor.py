"""A site's end over FLARE: bytes in, bytes out, and no word of an error."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.shareable import Shareable
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.message import Message

from fednb.flare.executor import FednbExecutor
from fednb.flare.provision import ProjectSpec, SiteSpec, provision
from fednb.flare.transport import CHANNEL, unwrapped
from fednb.owner import SiteOwner
from fednb.records.messages import Ping, Refusal, State
from fednb.site.server import SiteServer
from fednb.wire.codec import decode_reply, encode


class Context:
    """As FLARE hands it to an executor, over a kit."""

    def __init__(self, kit) -> None:
        self.handlers = {}
        self.workspace = SimpleNamespace(
            get_site_config_dir=lambda: str(kit / "local"),
            get_startup_kit_dir=lambda: str(kit / "startup"),
        )

    def get_engine(self):
        return self

    def get_workspace(self):
        return self.workspace

    def get_cell(self):
        return self

    def register_request_cb(self, channel, topic, cb):
        self.handlers[channel, topic] = cb


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    return provision(ProjectSpec("p", (SiteSpec("a"),)), root / "kits")["a"]


@pytest.fixture
def site(made, tmp_path):
    kit = shutil.copytree(made, tmp_path / "a")
    context = Context(kit)
    executor = FednbExecutor()
    executor.handle_event(EventType.START_RUN, context)
    (handler,) = context.handlers.values()
    assert set(context.handlers) == {(CHANNEL, "fednb")}
    yield SimpleNamespace(
        kit=kit,
        executor=executor,
        context=context,
        ask=lambda payload: handler(Message(payload=payload)),
    )
    executor.handle_event(EventType.END_RUN, context)


def words(reply):
    return repr(reply.headers) + repr(reply.payload)


def test_a_message_is_answered_by_the_sites_server(site):
    SiteOwner.init(site.kit / "home", "a")
    for payload in (encode(Ping()), memoryview(bytearray(encode(Ping())))):
        answer = decode_reply(unwrapped(site.ask(payload)))
        assert isinstance(answer, State)
        assert answer.status == "ready"


def test_what_is_no_message_is_refused_by_the_sites_server(site):
    SiteOwner.init(site.kit / "home", "a")
    answer = decode_reply(unwrapped(site.ask(b"no frame")))
    assert isinstance(answer, Refusal)
    assert answer.cause == "malformed"


def test_a_site_without_a_home_is_down(site):
    reply = site.ask(encode(Ping()))
    code = reply.get_header(MessageHeaderKey.RETURN_CODE)
    assert (code, reply.payload) == ("service_unavailable", None)


@pytest.mark.parametrize("payload", [None, 5])
def test_what_is_no_frame_at_all_has_no_answer(site, payload):
    SiteOwner.init(site.kit / "home", "a")
    reply = site.ask(payload)
    code = reply.get_header(MessageHeaderKey.RETURN_CODE)
    assert (code, reply.payload) == ("service_unavailable", None)


def test_no_word_of_an_error_leaves(site, monkeypatch):
    def fail(*_):
        message = "patient 17"
        raise MemoryError(message)

    SiteOwner.init(site.kit / "home", "a")
    monkeypatch.setattr(SiteServer, "handle", fail)
    assert "patient" not in words(site.ask(encode(Ping())))


def test_a_session_that_has_ended_answers_no_more(site):
    SiteOwner.init(site.kit / "home", "a")
    site.executor.handle_event(EventType.END_RUN, site.context)
    reply = site.ask(encode(Ping()))
    assert reply.get_header(MessageHeaderKey.RETURN_CODE) == "service_unavailable"


def test_a_task_is_refused(site):
    reply = site.executor.execute("train", Shareable(), site.context, None)
    assert reply.get_return_code() == "TASK_UNKNOWN"


@pytest.mark.parametrize("end", ["executor", "controller"])
def test_a_session_begins_without_what_few_messages_need(end):
    # each worker of a session is a process of its own: its imports are its start
    script = (
        f"import sys, fednb.flare.{end}\n"
        "heavy = {'torch', 'monai', 'pandas', 'nibabel', 'scipy', 'matplotlib'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603  (our own interpreter and text)
        [sys.executable, "-c", script], capture_output=True, check=False, timeout=60
    )
    assert done.stderr.decode().strip() == ""

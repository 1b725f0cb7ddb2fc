from __future__ import annotations

import pytest

from fednb.errors import SiteDownError, UnknownNameError
from fednb.wire.inproc import InProcessTransport


@pytest.fixture
def transport():
    return InProcessTransport({"b": bytes.upper, "a": bytes.lower})


def test_a_message_goes_to_its_site_and_its_answer_comes_back(transport):
    assert transport.sites() == ("a", "b")
    assert transport.call("a", b"Hello", timeout=1) == b"hello"
    assert transport.call("b", b"Hello", timeout=1) == b"HELLO"


def test_an_unknown_site_is_named(transport):
    with pytest.raises(UnknownNameError) as error:
        transport.call("c", b"", timeout=1)
    assert str(error.value) == "Unknown site 'c'. Known: a, b."


def test_a_site_that_is_down_is_named_until_it_is_up(transport):
    transport.take_down("a")
    with pytest.raises(SiteDownError) as error:
        transport.call("a", b"x", timeout=1)
    assert error.value.site == "a"
    assert str(error.value) == (
        "a cannot be reached. Ask again, or resume a paused run, when the site is back."
    )
    assert transport.call("b", b"x", timeout=1) == b"X"
    transport.bring_up("a")
    assert transport.call("a", b"X", timeout=1) == b"x"


def test_an_answer_of_a_site_that_went_down_meanwhile_is_lost():
    seen = []
    transport = InProcessTransport({"a": lambda m: transport.take_down("a") or m})
    transport.observe(lambda *event: seen.append(event))
    with pytest.raises(SiteDownError):
        transport.call("a", b"x", timeout=1)
    assert seen == [("a", "to-site", b"x")]


def test_observers_see_every_byte_in_order(transport):
    seen = []
    transport.observe(lambda *event: seen.append(event))
    transport.call("a", b"One", timeout=1)
    transport.call("b", b"Two", timeout=1)
    assert seen == [
        ("a", "to-site", b"One"),
        ("a", "from-site", b"one"),
        ("b", "to-site", b"Two"),
        ("b", "from-site", b"TWO"),
    ]

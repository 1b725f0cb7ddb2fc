"""Frames cross a channel of JSON whole, in parts, and once."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.errors import WireError
from fednb.flare import envelope
from fednb.flare.envelope import Answering, ask


def through_json(answering, count=None):
    def send(data):
        if count is not None:
            count.append(len(data.get("body", "")))
        return json.loads(json.dumps(answering.command(json.loads(json.dumps(data)))))

    return send


@settings(max_examples=50)
@given(frame=st.binary(max_size=200), grow=st.integers(0, 5), size=st.integers(1, 64))
def test_any_frame_and_any_answer_cross_whole(frame, grow, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "PART_BYTES", size)
        answering = Answering(lambda body: body * grow)
        assert ask(frame, through_json(answering)) == frame * grow


def test_a_large_frame_crosses_in_parts(monkeypatch):
    monkeypatch.setattr(envelope, "PART_BYTES", 300)
    sent = []
    frame = bytes(range(250)) * 4
    answer = ask(frame, through_json(Answering(lambda body: body[:700]), sent))
    assert answer == frame[:700]
    # 4 parts go there; 3 come back, the first with the last command
    assert sent == [400, 400, 400, 136, 0, 0]


def test_a_repeated_command_is_answered_once():
    calls = []
    answering = Answering(lambda body: calls.append(body) or b"done")
    command = {"id": "1", "part": 0, "parts": 1, "body": "YQ=="}
    assert answering.command(command) == answering.command(command)
    assert calls == [b"a"]


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"id": "1", "part": 0},
        {"id": "1", "part": 0, "parts": 1, "body": "no base64!"},
        {"id": "1", "part": "x", "parts": 1, "body": ""},
    ],
)
def test_what_is_no_command_is_refused(command):
    with pytest.raises(WireError) as caught:
        Answering(bytes).command(command)
    assert str(caught.value) == "A command to the coordinator could not be read."


def test_parts_without_end_are_refused():
    command = {"id": "1", "part": 0, "parts": 10**9, "body": ""}
    with pytest.raises(WireError, match="exceeds the limit"):
        Answering(bytes).command(command)


def test_a_part_out_of_range_is_refused():
    command = {"id": "1", "part": 3, "parts": 2, "body": ""}
    with pytest.raises(WireError, match="no part 3 of 2"):
        Answering(bytes).command(command)


def test_an_answer_is_asked_of_a_call_that_is_known():
    with pytest.raises(WireError, match="not kept any more"):
        Answering(bytes).command({"id": "1", "part": 1, "fetch": 1})


def test_an_answer_that_cannot_be_read_is_an_error():
    with pytest.raises(WireError, match="answer could not be read"):
        ask(b"x", lambda _: {"parts": 1})

from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.config import PROTOCOL_FRAME_BYTES, PROTOCOL_VERSION
from fednb.errors import WireError
from fednb.records.arrays import Array, pack, unpack
from fednb.records.messages import Call, Ping, Refusal, Release, State
from fednb.records.outputs import Attestation, Output, Place
from fednb.wire.codec import decode_as, decode_ask, decode_reply, encode

PLACE = Place("c", 0, "r", 0, 0)


def framed(body: bytes) -> bytes:
    return struct.pack("<3sBQ", b"FNB", PROTOCOL_VERSION, len(body)) + body


def test_a_frame_is_header_payload_and_nothing_else():
    frame = encode(Ping())
    magic, version, length = struct.unpack_from("<3sBQ", frame)
    assert (magic, version, length) == (b"FNB", PROTOCOL_VERSION, len(frame) - 12)
    assert msgspec.msgpack.decode(frame[12:]) == {"type": "Ping"}


def test_an_array_keeps_its_type_shape_and_bits():
    values = np.array([[0.1, -0.0], [np.nan, 1e-45]], dtype=np.float32)
    call = decode_ask(encode(Call("id", PLACE, {"weights": pack(values)})))
    found = unpack(call.arrays["weights"])
    assert found.dtype == np.float32
    assert found.shape == (2, 2)
    assert found.tobytes() == values.tobytes()
    assert not found.flags.writeable


def test_an_array_is_decoded_without_a_copy():
    frame = encode(Call("id", PLACE, {"weights": pack(np.arange(10.0))}))
    data = decode_ask(frame).arrays["weights"].data
    whole = np.frombuffer(frame, dtype=np.uint8)
    assert np.shares_memory(np.frombuffer(data, dtype=np.uint8), whole)


def test_big_endian_and_strided_arrays_travel_as_little_endian():
    values = np.arange(6, dtype=">f8")[::2]
    assert unpack(pack(values)).tolist() == [0.0, 2.0, 4.0]
    assert pack(values).dtype == "<f8"


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([object()])])
def test_text_and_objects_are_no_arrays(values):
    with pytest.raises(WireError, match="cannot travel"):
        pack(values)


@pytest.mark.parametrize(
    "array",
    [
        Array("|O", (1,), memoryview(bytes(8))),
        Array("<f8", (2,), memoryview(bytes(8))),
        Array("<f8", (-1,), memoryview(bytes(8))),
        Array("<f8", (-1, -1), memoryview(bytes(8))),
        Array("<f8", (1,) * 9, memoryview(bytes(8))),
        Array("<f8", (2**62, 4), memoryview(b"")),
    ],
)
def test_an_array_that_lies_about_itself_is_refused(array):
    with pytest.raises(WireError, match="An array of"):
        unpack(array)


def test_protocol_messages_have_one_size_whatever_they_say():
    sizes = {
        len(encode(State("a", "ready", 0.0), fixed=True)),
        len(encode(State("a" * 64, "approved", 1.5e9), fixed=True)),
        len(encode(Refusal("site", "not-in-contract", "f" * 16), fixed=True)),
    }
    assert sizes == {PROTOCOL_FRAME_BYTES}
    frame = encode(State("a", "ready", 2.5), fixed=True)
    assert decode_reply(frame) == State("a", "ready", 2.5)


def test_a_message_that_does_not_fit_its_size_is_not_sent():
    with pytest.raises(WireError, match=r"^A protocol message of \d+ bytes exceeds"):
        encode(State("a" * 2000, "ready", 0.0), fixed=True)


def test_an_ask_is_no_reply_and_a_reply_no_ask():
    with pytest.raises(WireError, match=r"^The message could not be read\.$"):
        decode_reply(encode(Ping()))
    with pytest.raises(WireError, match=r"^The message could not be read\.$"):
        decode_ask(encode(State("a", "ready", 0.0)))


def test_unknown_fields_are_refused():
    body = msgspec.msgpack.encode({"type": "Ping", "also": 1})
    frame = framed(body)
    with pytest.raises(WireError, match="could not be read"):
        decode_ask(frame)


def test_the_message_of_an_error_says_nothing_of_the_content():
    body = msgspec.msgpack.encode({"type": "StopRun", "run": 5, "name": "John Doe"})
    frame = framed(body)
    with pytest.raises(WireError) as error:
        decode_ask(frame)
    assert str(error.value) == "The message could not be read."


def test_another_version_says_which_side_to_update():
    frame = b"FNB\x07" + encode(Ping())[4:]
    with pytest.raises(WireError) as error:
        decode_ask(frame)
    assert str(error.value) == (
        f"The message has protocol version 7; this fednb speaks {PROTOCOL_VERSION}. "
        "Update the older side."
    )


def test_too_large_a_message_is_refused_unread():
    with pytest.raises(WireError, match=r"^A message of 40 bytes exceeds the limit"):
        decode_ask(b"x" * 40, limit=39)


def test_padding_must_be_empty_and_short():
    frame = encode(Ping())
    assert decode_ask(frame + bytes(PROTOCOL_FRAME_BYTES)) == Ping()
    with pytest.raises(WireError, match="truncated or padded"):
        decode_ask(frame + bytes(PROTOCOL_FRAME_BYTES + 1))
    with pytest.raises(WireError, match="truncated or padded"):
        decode_ask(frame + b"\0\0patient 17")


def test_deep_nesting_is_refused():
    body = b"\x81\xa4type" + b"\x91" * 100_000 + b"\xc0"
    frame = framed(body)
    with pytest.raises(WireError):
        decode_ask(frame)


def test_of_one_kind_only():
    assert decode_as(encode(PLACE), Place) == PLACE
    with pytest.raises(WireError):
        decode_as(encode(Ping()), Place)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_raise_a_wire_error(data):
    for frame in (
        data,
        framed(data),
    ):
        try:
            decode_ask(frame)
        except WireError as error:
            assert str(error)  # noqa: PT017  (a frame that happens to be one is fine)


@given(st.integers(0, 60))
def test_a_cut_frame_is_refused_wherever_it_is_cut(where):
    frame = encode(Call("some-id", PLACE, query=b"x" * 40))
    with pytest.raises(WireError):
        decode_ask(frame[:where])


@pytest.mark.parametrize("size", [65_535, 65_536, 300_000])
def test_large_arrays_are_the_same_bytes_on_the_wire(size):
    small = np.arange(3.0)
    large = np.arange(size, dtype=np.uint8)
    data = {"a": pack(large), "b": pack(small), "c": pack(large[::-1].copy())}
    call = Call("id", PLACE, data)
    outputs = tuple(Output("s", PLACE, n, "table", d, b"salt") for n, d in data.items())
    release = Release(
        "s", "id", PLACE, outputs, Attestation(b"head", (b"leaf",), b"sig")
    )
    for record in (call, release):
        body = msgspec.msgpack.encode(record)
        assert encode(record) == framed(body)
    assert decode_ask(encode(call)) == call

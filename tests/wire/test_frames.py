from __future__ import annotations

import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import WireError
from fednb.wire.frames import read_frame, write_frame


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_frames_come_back_as_they_were_written(payloads: list[bytes]):
    stream = io.BytesIO()
    for payload in payloads:
        write_frame(stream, payload)
    stream.seek(0)
    assert [bytes(read_frame(stream)) for _ in payloads] == payloads
    assert read_frame(stream) is None


def test_a_frame_is_eight_bytes_little_endian_and_the_payload():
    stream = io.BytesIO()
    write_frame(stream, memoryview(b"abc"))
    assert stream.getvalue() == b"\x03\0\0\0\0\0\0\0abc"


def test_a_large_frame_is_refused_before_it_is_read():
    stream = io.BytesIO((10**12).to_bytes(8, "little") + b"x")
    with pytest.raises(WireError, match="exceeds the limit of 100"):
        read_frame(stream, 100)
    assert stream.tell() == 8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x03\0\0", "A frame's length was cut off after 3 of 8 bytes."),
        (b"\x03\0\0\0\0\0\0\0ab", "A frame was cut off after 2 of 3 bytes."),
    ],
)
def test_a_cut_off_frame_is_an_error(data: bytes, message: str):
    with pytest.raises(WireError) as caught:
        read_frame(io.BytesIO(data))
    assert str(caught.value) == message


def test_raw_pipes_carry_more_than_their_buffer():
    payload = os.urandom(1_000_000)
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as source:
        with open(writer, "wb", buffering=0) as sink:
            thread = threading.Thread(target=write_frame, args=(sink, payload))
            thread.start()
            assert read_frame(source) == payload
            thread.join()
        assert read_frame(source) is None

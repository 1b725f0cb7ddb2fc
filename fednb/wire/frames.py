"""Length-prefixed frames on a pipe: 8 bytes, little-endian, then the payload."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from fednb.config import MAX_MESSAGE_BYTES
from fednb.errors import WireError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LENGTH = struct.Struct("<Q")


def write_frame(stream: BinaryIO, payload: Buffer) -> None:
    """Write one frame and flush it.

    Parameters
    ----------
    stream
        A binary stream; a raw one that writes in parts is written to the end.
    payload
        Any bytes-like object; it is not copied.

    Raises
    ------
    OSError
        The other end is closed.
    """
    body = memoryview(payload).cast("B")
    _write_all(stream, memoryview(_LENGTH.pack(len(body))))
    _write_all(stream, body)
    stream.flush()


def read_frame(
    stream: BinaryIO, limit: int = MAX_MESSAGE_BYTES
) -> memoryview[int] | None:
    """Read one frame.

    Parameters
    ----------
    stream
        A binary stream that blocks.
    limit
        Bytes above which a payload is refused before it is read.

    Returns
    -------
    payload
        The bytes in a buffer of their own, or None where the stream ended between
        two frames.

    Raises
    ------
    WireError
        The payload is larger than `limit`, or the stream ended within a frame.
    """
    header = _read_up_to(stream, _LENGTH.size)
    if not header:
        return None
    if len(header) < _LENGTH.size:
        message = f"A frame's length was cut off after {len(header)} of 8 bytes."
        raise WireError(message)
    (length,) = _LENGTH.unpack(header)
    if length > limit:
        message = f"A frame of {length} bytes exceeds the limit of {limit}."
        raise WireError(message)
    body = _read_up_to(stream, length)
    if len(body) < length:
        message = f"A frame was cut off after {len(body)} of {length} bytes."
        raise WireError(message)
    return body


def _write_all(stream: BinaryIO, data: memoryview[int]) -> None:
    """Write until nothing is left: raw streams may take less than they are given."""
    while data:
        written = stream.write(data)
        data = data[written:]


def _read_up_to(stream: BinaryIO, size: int) -> memoryview[int]:
    """Read `size` bytes, or what there is until the stream ends."""
    buffer = memoryview(bytearray(size))
    filled = 0
    while filled < size:
        # A BufferedReader reads until the view is full; a raw stream may stop short.
        count = stream.readinto(buffer[filled:])  # type: ignore[attr-defined]
        if not count:
            break
        filled += count
    return buffer[:filled]

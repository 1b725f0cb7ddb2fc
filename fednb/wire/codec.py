"""Bytes of a message: a short header, msgpack, and zero padding. No pickle.

A frame is the magic ``FNB``, the protocol version, the payload's length, the payload
and padding. Array buffers are decoded as views of the frame, without a copy. Protocol
messages are padded to one size, so that their length tells nothing.
"""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fednb.config import MAX_MESSAGE_BYTES, PROTOCOL_FRAME_BYTES, PROTOCOL_VERSION
from fednb.errors import InputError, VersionError, WireError
from fednb.records.messages import Ask, Call, Release, Reply
from fednb.records.service import ServiceAsk, ServiceReply

if TYPE_CHECKING:
    from fednb.records.arrays import Array
    from fednb.records.base import Record
    from fednb.records.outputs import Output
T = TypeVar("T")

_HEADER = struct.Struct("<3sBQ")
_MAGIC = b"FNB"
_LARGE_BYTES = 65_536
_MARK_BYTES = 16
_MARK_HEAD = bytes([0xC4, _MARK_BYTES])
_BIN_32_TAG = 0xC6
_BIN_32 = struct.Struct(">BI")
_encoder = msgspec.msgpack.Encoder()
_ask: msgspec.msgpack.Decoder[Ask] = msgspec.msgpack.Decoder(Ask)
_reply: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_service_ask: msgspec.msgpack.Decoder[ServiceAsk] = msgspec.msgpack.Decoder(ServiceAsk)
_service_reply: msgspec.msgpack.Decoder[ServiceReply] = msgspec.msgpack.Decoder(
    ServiceReply
)


def encode(record: Record, *, fixed: bool = False) -> bytes:
    """Return the frame of a record.

    Parameters
    ----------
    record
        Any record.
    fixed
        Pad to `fednb.config.PROTOCOL_FRAME_BYTES`: for states and refusals.

    Raises
    ------
    WireError
        The record does not fit the fixed size.
    """
    parts = _payload(record)
    size = sum(len(part) for part in parts)
    frame = b"".join([_HEADER.pack(_MAGIC, PROTOCOL_VERSION, size), *parts])
    if not fixed:
        return frame
    frame = frame.ljust(PROTOCOL_FRAME_BYTES, b"\0")
    if len(frame) != PROTOCOL_FRAME_BYTES:
        message = (
            f"A protocol message of {len(frame)} bytes exceeds the fixed "
            f"{PROTOCOL_FRAME_BYTES}; shorten the site's name."
        )
        raise WireError(message)
    return frame


def _payload(record: Record) -> list[bytes | memoryview]:
    """Return the msgpack of a record in parts, so that `encode` copies it only once.

    Large buffers are encoded as marks, at which the result is cut open again: a call
    and a release of 50 MB would otherwise be copied twice, into fresh memory.
    """
    if not any(_is_large(array) for array in _arrays_of(record)):
        return [_encoder.encode(record)]
    mark = secrets.token_bytes(_MARK_BYTES)
    large: list[memoryview] = []

    def lift(array: Array) -> Array:
        if not _is_large(array):
            return array
        large.append(array.data)
        return msgspec.structs.replace(array, data=memoryview(mark))

    def lifted(outputs: tuple[Output, ...]) -> tuple[Output, ...]:
        return tuple(
            msgspec.structs.replace(output, data=lift(output.data))
            for output in outputs
        )

    if isinstance(record, Call):
        arrays = {name: lift(array) for name, array in record.arrays.items()}
        relayed = lifted(record.relayed)
        record = msgspec.structs.replace(record, arrays=arrays, relayed=relayed)
    elif isinstance(record, Release):
        record = msgspec.structs.replace(record, outputs=lifted(record.outputs))
    first, *rest = _encoder.encode(record).split(_MARK_HEAD + mark)
    parts: list[bytes | memoryview] = [first]
    for data, after in zip(large, rest, strict=True):
        parts += [_BIN_32.pack(_BIN_32_TAG, data.nbytes), data, after]
    return parts


def _arrays_of(record: Record) -> list[Array]:
    """Return the arrays that calls and releases carry."""
    if isinstance(record, Call):
        return [*record.arrays.values(), *(o.data for o in record.relayed)]
    return [o.data for o in record.outputs] if isinstance(record, Release) else []


def _is_large(array: Array) -> bool:
    return _LARGE_BYTES <= array.data.nbytes <= MAX_MESSAGE_BYTES


def decode_as(frame: bytes, kind: type[T], *, limit: int = MAX_MESSAGE_BYTES) -> T:
    """Return the record of type `kind` that `frame` holds.

    Parameters
    ----------
    frame
        As `encode` made it.
    kind
        A record type.
    limit
        Bytes above which the frame is refused unread.

    Raises
    ------
    WireError
        The frame is too large, truncated, or not of `kind`.
    VersionError
        The frame is of another version.
    """
    return _read(msgspec.msgpack.Decoder(kind), frame, limit)


def decode_ask(frame: bytes, *, limit: int = MAX_MESSAGE_BYTES) -> Ask:
    """Return the message that a coordinator sent; see `decode_as`."""
    return _read(_ask, frame, limit)


def decode_reply(frame: bytes, *, limit: int = MAX_MESSAGE_BYTES) -> Reply:
    """Return the message that a site answered; see `decode_as`."""
    return _read(_reply, frame, limit)


def _read(decoder: msgspec.msgpack.Decoder[T], frame: bytes, limit: int) -> T:
    try:
        return decoder.decode(_body(frame, limit))
    # text that is no UTF-8 is no DecodeError of msgspec's
    except (
        msgspec.DecodeError,
        InputError,
        RecursionError,
        UnicodeDecodeError,
    ) as error:
        message = "The message could not be read."
        raise WireError(message, detail=str(error)) from error


def _body(frame: bytes, limit: int) -> memoryview:
    """Return the payload of a frame after checking its header and padding."""
    if len(frame) > limit:
        message = f"A message of {len(frame)} bytes exceeds the limit of {limit}."
        raise WireError(message)
    if len(frame) < _HEADER.size:
        message = f"A message of {len(frame)} bytes is shorter than its header."
        raise WireError(message)
    magic, version, length = _HEADER.unpack_from(frame)
    if magic != _MAGIC:
        message = "These bytes are not a fednb message."
        raise WireError(message)
    if version != PROTOCOL_VERSION:
        message = (
            f"The message has protocol version {version}; this fednb speaks "
            f"{PROTOCOL_VERSION}. Update the older side."
        )
        raise VersionError(message)
    view = memoryview(frame)
    body, padding = view[_HEADER.size :][:length], view[_HEADER.size + length :]
    if len(body) != length or len(padding) > PROTOCOL_FRAME_BYTES or any(padding):
        message = f"The message is truncated or padded: {length} bytes were announced."
        raise WireError(message)
    return body


def decode_service_ask(frame: bytes, *, limit: int = MAX_MESSAGE_BYTES) -> ServiceAsk:
    """Return the message that a notebook sent to the service; see `decode_as`."""
    return _read(_service_ask, frame, limit)


def decode_service_reply(
    frame: bytes, *, limit: int = MAX_MESSAGE_BYTES
) -> ServiceReply:
    """Return the message that the service answered; see `decode_as`."""
    return _read(_service_reply, frame, limit)

"""Frames of the service over FLARE's admin channel, which carries JSON only.

A frame crosses in parts of base64. A command is repeated without harm: a part that is
known is kept, and a frame that was answered is not answered a second time.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from fednb.config import MAX_MESSAGE_BYTES
from fednb.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

TOPIC: Final = "fednb"
PART_BYTES: Final = 4 * 2**20
"""Bytes of a frame in one command, before base64."""

_KEPT: Final = 16

Command = dict[str, Any]


class Answering:
    """The server's end: collects a frame's parts, answers it, hands out the answer.

    Parameters
    ----------
    answer
        Bytes in, bytes out.
    """

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._calls: OrderedDict[str, _Incoming] = OrderedDict()

    def command(self, data: Command) -> Command:
        """Take one command and return its reply.

        Parameters
        ----------
        data
            ``id``, ``part`` and either ``parts`` and ``body``, a part of the frame, or
            ``fetch``, the number of a part of the answer.

        Raises
        ------
        WireError
            The command is not one, or its call is not known any more.
        """
        try:
            name, part = str(data["id"]), int(data["part"])
            if data.get("fetch"):
                return self._known(name).reply(part)
            call = self._call(name, int(data["parts"]))
            call.take(part, base64.b64decode(data["body"], validate=True))
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            message = "A command to the coordinator could not be read."
            raise WireError(message, detail=repr(error)) from error
        if not call.complete:
            return {"parts": 0, "body": ""}
        call.answer(self._answer)
        return call.reply(0)

    def _call(self, name: str, parts: int) -> _Incoming:
        if not 1 <= parts <= -(-MAX_MESSAGE_BYTES // PART_BYTES):
            message = f"A message of {parts} parts exceeds the limit."
            raise WireError(message)
        with self._lock:
            call = self._calls.get(name)
            if call is None:
                call = self._calls[name] = _Incoming(parts)
                while len(self._calls) > _KEPT:
                    self._calls.popitem(last=False)
            return call

    def _known(self, name: str) -> _Incoming:
        with self._lock:
            call = self._calls.get(name)
        if call is None:
            message = "The answer is not kept any more; ask again."
            raise WireError(message)
        return call


class _Incoming:
    """A frame on its way in, and its answer."""

    def __init__(self, parts: int) -> None:
        self._parts: list[bytes | None] = [None] * parts
        self._lock = threading.Lock()
        self._reply: bytes | None = None

    @property
    def complete(self) -> bool:
        return all(part is not None for part in self._parts)

    def take(self, number: int, body: bytes) -> None:
        if not 0 <= number < len(self._parts):
            message = f"There is no part {number} of {len(self._parts)}."
            raise WireError(message)
        self._parts[number] = body

    def answer(self, answer: Callable[[bytes], bytes]) -> None:
        # a repeated command waits here for the first, and finds its answer
        with self._lock:
            if self._reply is None:
                self._reply = answer(b"".join(p or b"" for p in self._parts))

    def reply(self, number: int) -> Command:
        whole = self._reply
        if whole is None:
            message = "The answer is not there yet."
            raise WireError(message)
        parts = max(1, -(-len(whole) // PART_BYTES))
        body = whole[number * PART_BYTES : (number + 1) * PART_BYTES]
        return {"parts": parts, "body": base64.b64encode(body).decode()}


def ask(frame: bytes, send: Callable[[Command], Command]) -> bytes:
    """Send a frame part by part and return its answer: the notebook's end.

    Parameters
    ----------
    frame
        Of the service's protocol.
    send
        Carries one command; may be repeated.

    Raises
    ------
    WireError
        What came back is not an answer.
    """
    name = secrets.token_hex(8)
    count = max(1, -(-len(frame) // PART_BYTES))
    reply: Command = {}
    for part in range(count):
        piece = frame[part * PART_BYTES : (part + 1) * PART_BYTES]
        body = base64.b64encode(piece).decode()
        reply = send({"id": name, "part": part, "parts": count, "body": body})
    try:
        found = [base64.b64decode(reply["body"], validate=True)]
        for part in range(1, int(reply["parts"])):
            more = send({"id": name, "part": part, "fetch": 1})
            found.append(base64.b64decode(more["body"], validate=True))
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        message = "The coordinator's answer could not be read."
        raise WireError(message, detail=repr(error)) from error
    return b"".join(found)

"""The heartbeat of a process that works: how far it is, now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from fednb.site.tasks.job import Progress
from fednb.wire.frames import write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT: Final = 0.25
"""Seconds between two `Progress` frames, at least."""

_encoder = msgspec.msgpack.Encoder()


def heart(name: str, sink: BinaryIO) -> Callable[[int, int], None]:
    """Return what a task calls with done and total; it writes `Progress` frames.

    Parameters
    ----------
    name
        Id of the job.
    sink
        Where frames go, not more often than `HEARTBEAT` allows.
    """
    last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= HEARTBEAT:
            last = now
            write_frame(sink, _encoder.encode(Progress(name, done, total)))

    return advance

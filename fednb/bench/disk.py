"""The disk's own time, to be printed beside what has to be durable."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from fednb.bench.report import median

if TYPE_CHECKING:
    from pathlib import Path


def fsync_seconds(folder: Path, repeats: int = 30) -> float:
    """Return the median time to append 4 KB to a file and fsync it, in seconds."""
    path = folder / "fsync.probe"
    data = bytes(4096)
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(repeats):
            began = time.perf_counter()
            file.write(data)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return median(times)


def write_seconds(folder: Path, size: int, repeats: int = 3) -> float:
    """Return the median time to write a new file and fdatasync it, in seconds.

    Parameters
    ----------
    folder
        On the disk in question.
    size
        Bytes.
    repeats
        Number of measurements.
    """
    data = os.urandom(size)
    path = folder / "write.probe"
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        with path.open("wb", buffering=0) as file:
            file.write(data)
            os.fdatasync(file.fileno())
        times.append(time.perf_counter() - began)
        path.unlink()
    return median(times)

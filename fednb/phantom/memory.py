"""Peak memory of this process and its children together, sampled."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_EVERY_SECONDS: Final = 0.2


class PeakMemory:
    """Samples resident memory while in a ``with`` block; Linux only, else 0.

    Attributes
    ----------
    peak_mb
        Largest sum over this process and its descendants, in megabytes.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            total = sum(_resident(pid) for pid in _family(os.getpid()))
            self.peak_mb = max(self.peak_mb, total / 1e6)
            if self._done.wait(_EVERY_SECONDS):
                return


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += _family(int(child))
    return found


def _resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE_BYTES

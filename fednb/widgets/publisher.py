"""One thread that keeps a widget current, also while a cell blocks the kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LEAST_SECONDS: Final = 0.1
"""Time between two updates: at most ten a second."""

Step = Callable[[], float | None]
"""Publishes what is new; answers seconds until it is called again, None to end."""


class Publisher:
    """Calls a step again and again, in a daemon thread of its own.

    Parameters
    ----------
    step
        See `Step`. No two calls overlap.
    lease
        Seconds that one `start` lasts: a view that is shown renews it, and one that was
        closed without a word is forgotten. None: until the step ends by itself.
    """

    def __init__(self, step: Step, lease: float | None = None) -> None:
        self._step = step
        self._lease = lease
        self._until = 0.0
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; where it runs already, its next step comes at once."""
        with self._lock:
            if self._lease is not None:
                self._until = time.monotonic() + self._lease
            self._wake.set()
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="fednb-widget", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End the thread after the step in progress; it cannot be started again."""
        self._closed.set()
        self._wake.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread and return whether it has ended.

        Parameters
        ----------
        timeout
            Seconds; None: without end.
        """
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    def _run(self) -> None:
        while not self._ended(0.0):
            self._wake.clear()
            pause = self._step()
            self._closed.wait(LEAST_SECONDS)
            if self._ended(pause):
                return
            self._wake.wait(max((pause or 0.0) - LEAST_SECONDS, 0.0))

    def _ended(self, pause: float | None) -> bool:
        """Let the thread end, unless somebody started it again meanwhile."""
        with self._lock:
            over = self._lease is not None and time.monotonic() >= self._until
            done = pause is None and not self._wake.is_set()
            if self._closed.is_set() or over or done:
                self._thread = None
                return True
            return False

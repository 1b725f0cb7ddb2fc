"""Transport within one process: what the demo, Binder and the tests run on.

It carries the same bytes as the distributed transport. It can be told to take a site
down, and it shows every message to observers, which is how the transcript tests see
all that crosses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fednb.errors import SiteDownError, UnknownNameError

Handler = Callable[[bytes], bytes]
Direction = Literal["to-site", "from-site"]
Observer = Callable[[str, Direction, bytes], None]


class InProcessTransport:
    """Calls each site's handler directly.

    Parameters
    ----------
    handlers
        For each site its server: bytes in, bytes out.
    interrupt
        Ends what the sites are working on, on `close`.
    """

    one_worker = True

    def __init__(
        self, handlers: dict[str, Handler], interrupt: Callable[[], None] = lambda: None
    ) -> None:
        self._handlers = dict(handlers)
        self._interrupt = interrupt
        self._down: set[str] = set()
        self._observers: list[Observer] = []

    def sites(self) -> tuple[str, ...]:
        """Return the names of all sites, sorted."""
        return tuple(sorted(self._handlers))

    def observe(self, observer: Observer) -> None:
        """Show every message from now on to ``observer(site, direction, bytes)``."""
        self._observers.append(observer)

    def take_down(self, site: str) -> None:
        """Let calls to a site fail until `bring_up`."""
        self._down.add(site)

    def bring_up(self, site: str) -> None:
        """Let calls to a site pass again."""
        self._down.discard(site)

    def call(self, site: str, message: bytes, *, timeout: float) -> bytes:
        """See `fednb.wire.transport.Transport.call`; `timeout` is the handler's."""
        handler = self._handlers.get(site)
        if handler is None:
            raise UnknownNameError("site", site, self._handlers)
        self._show(site, "to-site", message)
        if site in self._down:
            raise SiteDownError(site, detail=f"taken down; timeout was {timeout} s")
        answer = handler(message)
        if site in self._down:
            raise SiteDownError(site, detail="taken down before the answer arrived")
        self._show(site, "from-site", answer)
        return answer

    def close(self) -> None:
        """See `fednb.wire.transport.Transport.close`."""
        self._down.update(self._handlers)
        self._interrupt()

    def _show(self, site: str, direction: Direction, message: bytes) -> None:
        for observer in self._observers:
            observer(site, direction, message)

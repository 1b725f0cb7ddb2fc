"""`SitesTable`: the datasites, and how long ago each was heard."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets
from typing_extensions import override

from fednb.display.text import visible
from fednb.errors import FednbError
from fednb.widgets.comms import hear_while_busy
from fednb.widgets.publisher import Publisher
from fednb.widgets.sources import CSS, module

if TYPE_CHECKING:
    from fednb.coordinator.federation import Federation

REFRESH_SECONDS: Final = 3.0
LEASE_SECONDS: Final = 300.0


class SitesTable(anywidget.AnyWidget):
    """Shows the sites; they are asked in a thread while the table is displayed.

    Parameters
    ----------
    federation
        Making the table asks nobody.

    Attributes
    ----------
    table
        ``rows`` with ``name``, ``state`` and ``seen``, the Unix time of the site's last
        answer (0: never), and ``asked``, when that was found out. Empty until then.
    notice
        Why the coordinator could not be asked.
    """

    _esm = module("sites_table")
    _css = CSS

    table: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, federation: Federation) -> None:
        super().__init__()
        self._federation = federation
        self._names: tuple[str, ...] = ()
        self.on_msg(self._on_message)
        hear_while_busy(self)
        self.publisher = Publisher(self._refresh, LEASE_SECONDS)

    @override
    def close(self) -> None:
        """Take the table off the page."""
        self.publisher.close()
        super().close()

    def _on_message(self, _: object, _content: object, _buffers: object) -> None:
        # whatever it says: a view is there
        self.publisher.start()

    def _refresh(self) -> float:
        try:
            self._names = self._names or tuple(self._federation.datasites)
        except FednbError as error:
            self.notice = visible(error)
            return REFRESH_SECONDS
        rows = [self._row(name) for name in self._names]
        self.notice = ""
        self.table = {"rows": rows, "asked": time.time()}
        return REFRESH_SECONDS

    def _row(self, name: str) -> dict[str, Any]:
        site = self._federation[name]
        state: str
        try:
            state = site.ping().status
        except FednbError as error:
            state = error.cause
        return {"name": visible(name), "state": visible(state), "seen": site.seen}

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
    from fednb.records.service import SiteLine

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
            lines = self._federation.datasites.lines
        except FednbError as error:
            self.notice = visible(error)
            return REFRESH_SECONDS
        self.notice = ""
        self.table = {"rows": [_row(line) for line in lines], "asked": time.time()}
        return REFRESH_SECONDS


def _row(line: SiteLine) -> dict[str, Any]:
    name, state = visible(line.site), visible(line.state)
    return {"name": name, "state": state, "seen": line.seen}

"""What FLARE runs at a site of the bench: all of fednb but the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from fednb.bench.echo import EchoWorker
from fednb.flare.executor import FednbExecutor
from fednb.site.server import SiteServer

if TYPE_CHECKING:
    from pathlib import Path

EXECUTOR: Final = "fednb.bench.flare_site.EchoExecutor"


class EchoExecutor(FednbExecutor):
    """Serves a site whose torch worker answers at once."""

    @override
    def open_server(self, home: Path) -> SiteServer:
        """Return a server with an `EchoWorker`."""
        return SiteServer(home, EchoWorker())

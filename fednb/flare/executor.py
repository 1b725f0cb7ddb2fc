"""What FLARE runs at a site: bytes in, bytes out, through the site's own server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.fuel.f3.cellnet.defs import ReturnCode as CellReturnCode
from nvflare.fuel.f3.cellnet.utils import make_reply as make_cell_reply
from typing_extensions import override

from fednb.errors import HomeError
from fednb.flare.envelope import TOPIC
from fednb.flare.identity import admit, read_root
from fednb.flare.kit import home_of, read_config
from fednb.flare.transport import CHANNEL, wrapped
from fednb.site.server import SiteServer
from fednb.wire.boundary import bounded

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.apis.signal import Signal
    from nvflare.fuel.f3.message import Message


class FednbExecutor(Executor):
    """Hands every message of the coordinator to the site's server.

    It decides nothing: whatever is asked goes through the site's gatekeeper. The home
    is the one that the site's own kit names; a job cannot name another.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._local = Path()
        self._root: Certificate | None = None
        self._server: SiteServer | None = None
        self._ended = False

    @override
    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin and end with the job."""
        if event_type == EventType.START_RUN:
            engine = fl_ctx.get_engine()
            workspace = engine.get_workspace()
            self._local = Path(workspace.get_site_config_dir())
            self._root = read_root(Path(workspace.get_startup_kit_dir()))
            engine.get_cell().register_request_cb(
                channel=CHANNEL, topic=TOPIC, cb=self._message
            )
        elif event_type == EventType.END_RUN:
            self._end()

    @override
    def execute(
        self,
        task_name: str,
        shareable: Shareable,
        fl_ctx: FLContext,
        abort_signal: Signal,
    ) -> Shareable:
        """Refuse every task: a site is asked by messages only."""
        return make_reply(ReturnCode.TASK_UNKNOWN)

    def open_server(self, home: Path) -> SiteServer:
        """Return the server of the site's home; benches give it another worker."""
        return SiteServer(home)

    def _message(self, request: Message) -> Message:
        """Answer a message; a site that cannot open its home is as good as down."""

        def answer() -> Message:
            body = self._opened().handle(admit(request.payload, self._trusted()))
            reply: Message = make_cell_reply(CellReturnCode.OK, body=wrapped(body))
            return reply

        # FLARE sends the words of an error that a site's server does not see
        return bounded(answer, self._unanswered)

    def _unanswered(self, error: BaseException) -> Message:
        # the session before this one still holds the home, or nobody made one
        self.logger.error("A message was not answered.", exc_info=error)
        reply: Message = make_cell_reply(CellReturnCode.SERVICE_UNAVAILABLE)
        return reply

    def _trusted(self) -> Certificate:
        if self._root is None:
            message = "The session has not begun."
            raise HomeError(message)
        return self._root

    def _opened(self) -> SiteServer:
        with self._lock:
            if self._ended:
                message = "The session has ended."
                raise HomeError(message)
            if self._server is None:
                home = home_of(self._local, read_config(self._local))
                self._server = self.open_server(home)
            return self._server

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            if self._server is not None:
                self._server.close()
                self._server = None

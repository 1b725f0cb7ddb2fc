"""What FLARE runs at a site: bytes in, bytes out, through the site's own server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from typing_extensions import override

from fednb.errors import HomeError
from fednb.flare.envelope import TOPIC
from fednb.flare.identity import admit, read_root
from fednb.flare.kit import home_of, read_config
from fednb.flare.transport import BODY
from fednb.site.server import SiteServer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.shareable import Shareable
    from nvflare.apis.signal import Signal


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
            engine.register_aux_message_handler(
                topic=TOPIC, message_handle_func=self._message
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

    def _message(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:
        """Answer a message; a site that cannot open its home is as good as down."""
        del topic, fl_ctx
        body = request.get(BODY)
        if not isinstance(body, bytes) or self._root is None:
            return make_reply(ReturnCode.BAD_REQUEST_DATA)
        try:
            server = self._opened()
        except HomeError:
            # the session before this one still holds the home, or nobody made one
            self.logger.exception("The site's home cannot be opened.")
            return make_reply(ReturnCode.SERVICE_UNAVAILABLE)
        reply = make_reply(ReturnCode.OK)
        reply[BODY] = server.handle(admit(body, self._root))
        return reply

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

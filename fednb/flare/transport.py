"""From the coordinator's service to sites, over FLARE's auxiliary messages."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable

from fednb.errors import SiteDownError, UnknownNameError
from fednb.flare.envelope import TOPIC
from fednb.records.messages import Call, Collect
from fednb.wire.codec import decode_ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from nvflare.apis.client import Client
    from nvflare.apis.fl_context import FLContext

BODY: Final = "fednb_body"
"""Key under which a message's bytes lie in a Shareable."""

PATIENCE_SECONDS: Final = 30.0
"""How long work waits for a site that is away before its run pauses."""

_RETRY_SECONDS: Final = 0.5


class AuxEngine(Protocol):
    """What is used of FLARE's engine in a server's job."""

    def new_context(self) -> AbstractContextManager[FLContext]:
        """Return a context for one request."""
        ...

    def get_client_from_name(self, client_name: str) -> Client | None:
        """Return a site of the job, or None."""
        ...

    def send_aux_request(
        self,
        targets: list[str],
        topic: str,
        request: Shareable,
        timeout: float,
        fl_ctx: FLContext,
        optional: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[str, Shareable]:
        """Send a request and return the reply of each target."""
        ...


class FlareTransport:
    """Calls each site's worker of this job.

    Parameters
    ----------
    engine
        Of the server's job.
    sites
        All sites of the federation, in the job or not.
    patience
        Seconds that a call or its collection is tried again while its site is away. A
        killed worker ends the job soon after, and the run goes on in the next one.
    """

    def __init__(
        self,
        engine: AuxEngine,
        sites: Sequence[str],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._engine = engine
        self._sites = tuple(sorted(sites))
        self._patience = patience
        self._closed = threading.Event()
        self._away: dict[str, float] = {}

    def sites(self) -> tuple[str, ...]:
        """See `fednb.wire.transport.Transport.sites`."""
        return self._sites

    def missing(self) -> tuple[str, ...]:
        """Return the sites that were away when the job began: it never reaches them."""
        found = self._engine.get_client_from_name
        return tuple(site for site in self._sites if found(site) is None)

    def close(self) -> None:
        """Let no call wait any longer; every later one finds its site down."""
        self._closed.set()

    def call(self, site: str, message: bytes, *, timeout: float) -> bytes:
        """See `fednb.wire.transport.Transport.call`."""
        if site not in self._sites:
            raise UnknownNameError("site", site, self._sites)
        while True:
            try:
                answer = self._once(site, message, timeout)
            except SiteDownError:
                # counted over all calls: who retries does not wait once more in full
                since = self._away.setdefault(site, time.monotonic())
                late = time.monotonic() - since >= self._patience
                if late or not isinstance(decode_ask(message), Call | Collect):
                    raise
                if self._closed.wait(_RETRY_SECONDS):
                    raise
            else:
                self._away.pop(site, None)
                return answer

    def _once(self, site: str, message: bytes, timeout: float) -> bytes:
        if self._closed.is_set():
            raise SiteDownError(site, detail="the session has ended")
        if site in self.missing():
            raise SiteDownError(site, detail="not in this session")
        request = Shareable()
        # bytes pass FLARE's serialiser untouched
        request[BODY] = message
        with self._engine.new_context() as context:
            replies = self._engine.send_aux_request(
                targets=[site],
                topic=TOPIC,
                request=request,
                timeout=timeout,
                fl_ctx=context,
                optional=True,
            )
        reply = (replies or {}).get(site)
        if reply is None:
            raise SiteDownError(site, detail="no reply")
        code = reply.get_return_code()
        body = reply.get(BODY)
        if code != ReturnCode.OK or not isinstance(body, bytes):
            raise SiteDownError(site, detail=f"return code {code}")
        return body

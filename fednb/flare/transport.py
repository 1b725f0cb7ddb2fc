"""From the coordinator's service to sites, over cells: FLARE's own messages.

Frames are payloads as they are. FLARE's auxiliary messages would carry them too, but
wrap, serialise and copy them, and write each of 50 MB into a log line that nobody
reads: a round took twice as long.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Protocol

from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message

from fednb.errors import SiteDownError, UnknownNameError, WireError
from fednb.flare.envelope import TOPIC
from fednb.records.messages import Call, Collect, FetchMock
from fednb.wire.codec import decode_ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nvflare.apis.client import Client
    from nvflare.fuel.f3.cellnet.cell import Cell

CHANNEL: Final = "fednb"
"""Cells tell messages apart by channel and topic."""

STREAM_BYTES: Final = 2**20
"""Frames above this cross in parts, which saves memory at the server between."""

PATIENCE_SECONDS: Final = 30.0
"""How long work waits for a site that is away before its run pauses."""

_RETRY_SECONDS: Final = 0.5


class CellEngine(Protocol):
    """What is used of FLARE's engine in a server's job."""

    def get_client_from_name(self, client_name: str) -> Client | None:
        """Return a site of the job, or None."""
        ...

    def get_cell(self) -> Cell:
        """Return the job's end of all connections."""
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

    one_worker = False

    def __init__(
        self,
        engine: CellEngine,
        sites: Sequence[str],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._engine = engine
        self._sites = tuple(sorted(sites))
        self._patience = patience
        self._closed = threading.Event()
        self._waiting: set[SimpleQueue[Message | None]] = set()
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
        for answers in tuple(self._waiting):
            answers.put(None)

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
        client = self._engine.get_client_from_name(site)
        if client is None:
            raise SiteDownError(site, detail="not in this session")
        cell = self._engine.get_cell()
        # a site's cell of a job is named after the site's and the job's
        target = FQCN.join([client.get_fqcn(), FQCN.split(cell.get_fqcn())[-1]])
        answers: SimpleQueue[Message | None] = SimpleQueue()
        self._waiting.add(answers)
        try:
            if self._closed.is_set():
                raise SiteDownError(site, detail="the session has ended")
            # apart, since a cell's wait for a site that died cannot be cut short
            threading.Thread(
                target=_ask,
                args=(cell, target, message, timeout, answers),
                name="fednb-ask",
                daemon=True,
            ).start()
            reply = answers.get()
        finally:
            self._waiting.discard(answers)
        if reply is None:
            raise SiteDownError(site, detail="no reply")
        code = reply.get_header(MessageHeaderKey.RETURN_CODE)
        body = unwrapped(reply) if code == ReturnCode.OK else None
        if not isinstance(body, bytes):
            raise SiteDownError(site, detail=f"return code {code}")
        return body


def _ask(
    cell: Cell,
    target: str,
    message: bytes,
    timeout: float,
    answers: SimpleQueue[Message | None],
) -> None:
    """Send a frame to a site's cell and hand on what comes back: None for nothing."""
    reply = None
    try:
        # a core cell answers in one piece, in a third of the time of a stream
        send = cell.send_request if _streams(message) else cell.core_cell.send_request
        reply = send(
            channel=CHANNEL,
            topic=TOPIC,
            target=target,
            request=Message(payload=message),
            timeout=timeout,
            optional=True,
        )
    finally:
        answers.put(reply)


def _streams(message: bytes) -> bool:
    """Whether a frame or its answer may be large."""
    if len(message) > STREAM_BYTES:
        return True
    try:
        return isinstance(decode_ask(message), Collect | FetchMock)
    except WireError:
        # the site answers it, and its ledger shows it
        return False


def wrapped(body: bytes) -> list[bytes]:
    """Return an answer as a payload.

    Of bare bytes a receiver keeps its buffer for a minute after they were read; of
    anything else it keeps nothing.
    """
    return [body]


def unwrapped(reply: Message) -> object:
    """Return the answer in a payload; None where there is none."""
    payload = reply.payload
    return payload[0] if isinstance(payload, list) and len(payload) == 1 else None

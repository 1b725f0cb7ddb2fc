"""The coordinator's service: what a notebook talks to, and what talks to the sites.

It holds no scientist's key: contracts and queries arrive signed. It lives in the
notebook's process in the embedded mode and in the FLARE server's job otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.config import MAX_MESSAGE_BYTES
from fednb.coordinator.pooling import Pool
from fednb.coordinator.runs import Runs
from fednb.coordinator.site_link import SiteLink
from fednb.errors import FednbError, UnknownNameError
from fednb.records.arrays import pack
from fednb.records.contracts import Contract
from fednb.records.messages import Call
from fednb.records.outputs import Place
from fednb.records.service import (
    AskEvents,
    AskOutcome,
    AskQuery,
    AskRun,
    Control,
    Fault,
    FetchWeights,
    FileRequest,
    Forward,
    Forwarded,
    ListRequests,
    ListRuns,
    ListSites,
    Outcome,
    Prepare,
    Prepared,
    RequestLines,
    RoundLine,
    RunLine,
    RunLines,
    ServiceAsk,
    SiteLine,
    SiteLines,
    StartRun,
    StepOutcome,
    Weights,
)
from fednb.wire.codec import decode_service_ask, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fednb.coordinator.store import Store
    from fednb.records.base import Record
    from fednb.wire.transport import Transport

Initialise = Callable[[Prepare], "NDArray[np.float32]"]
"""Makes seeded initial weights; runs where torch is."""

CALL_SECONDS = 60.0


class Service:
    """Answers a notebook and drives runs.

    Parameters
    ----------
    store
        The coordinator's home.
    transport
        To the sites.
    initialise
        See `Initialise`.
    """

    def __init__(
        self, store: Store, transport: Transport, initialise: Initialise
    ) -> None:
        self._store = store
        self._transport = transport
        self._initialise = initialise
        sites = {n: SiteLink(n, self._sender(n)) for n in transport.sites()}
        self._pool = Pool(sites, one_worker=transport.one_worker)
        self._runs = Runs(store, self._pool)
        self._answers: dict[type, Callable[..., Record]] = {
            ListSites: self._list_sites,
            Forward: self._forward,
            Prepare: self._prepare,
            FileRequest: self._file_request,
            ListRequests: lambda _: RequestLines(self._store.requests()),
            StartRun: lambda a: self._runs.start(a.run, a.contract, a.signature),
            AskQuery: self._query,
            AskRun: lambda a: self._runs.line(a.run),
            ListRuns: lambda _: self._list_runs(),
            AskEvents: lambda a: self._runs.events(a.run, a.since, a.wait),
            Control: lambda a: self._runs.control(a.run, a.verb),
            AskOutcome: lambda a: self._runs.outcome(a.run),
            FetchWeights: lambda a: Weights(pack(self._store.weights(a.sha256))),
        }

    def call(self, message: bytes) -> bytes:
        """Answer a message; see `fednb.wire.transport.ServicePort.call`."""
        try:
            ask: ServiceAsk = decode_service_ask(message, limit=MAX_MESSAGE_BYTES)
            return encode(self._answers[type(ask)](ask))
        except FednbError as error:
            return encode(Fault.of(error))

    def close(self) -> None:
        """End the runs' threads; what was finished is kept."""
        self._runs.give_up()
        self._transport.close()
        self._runs.close()
        self._pool.close()
        self._store.close()

    def _sender(self, site: str) -> Callable[[bytes], bytes]:
        def send(frame: bytes) -> bytes:
            return self._transport.call(site, frame, timeout=CALL_SECONDS)

        return send

    def _list_sites(self, _: ListSites) -> SiteLines:
        lines = []
        for name, site in sorted(self._pool.sites.items()):
            try:
                state = site.ping().status
            except FednbError as error:
                lines.append(SiteLine(name, error.cause, site.seen))
                continue
            lines.append(SiteLine(name, state, site.seen))
        return SiteLines(tuple(lines))

    def _forward(self, ask: Forward) -> Forwarded:
        if ask.site not in self._pool.sites:
            raise UnknownNameError("site", ask.site, self._pool.sites)
        return Forwarded(self._sender(ask.site)(ask.message))

    def _prepare(self, ask: Prepare) -> Prepared:
        weights = self._initialise(ask)
        return Prepared(self._store.put_weights(weights), int(weights.size))

    def _file_request(self, ask: FileRequest) -> RequestLines:
        self._store.file_request(ask.contract, ask.signature)
        return RequestLines(())

    def _list_runs(self) -> RunLines:
        lines: list[RunLine] = [self._runs.line(r.run) for r in self._store.runs()]
        return RunLines(tuple(lines))

    def _query(self, ask: AskQuery) -> Outcome:
        """Ask all participants at once; a query leaves no trace but its releases."""
        body = self._store.request(ask.contract)
        found = msgspec.json.decode(body, type=Contract)
        calls = {
            site: Call(
                id=f"{ask.run}.{site}",
                place=Place(ask.contract, ask.step, ask.run, 0, 0),
                query=ask.query,
                query_signature=ask.signature,
            )
            for site in found.sites()
        }
        collected = self._pool.collect(calls, found, going_on=lambda: True)
        total = collected.total("table", found, training=False)
        line = RoundLine(0, {}, 0.0, collected.bytes)
        totals = (pack(np.asarray(total)),)
        step = StepOutcome(ask.step, totals, (line,), "", collected.lines)
        return Outcome(ask.run, ask.contract, (step,))

"""What a notebook says to the coordinator's service, and how its errors come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fednb.coordinator.datasite import DatasiteProxy
from fednb.errors import WireError
from fednb.records.arrays import unpack
from fednb.records.service import (
    Fault,
    FetchWeights,
    Forward,
    Forwarded,
    ListSites,
    Prepare,
    Prepared,
    ServiceAsk,
    SiteLines,
    Weights,
)
from fednb.wire.codec import decode_service_reply, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.coordinator.known_sites import KnownSites
    from fednb.coordinator.mockdata import DryRunner
    from fednb.wire.transport import ServicePort

R = TypeVar("R")


class Client:
    """Speaks with the service.

    Parameters
    ----------
    port
        The seam.
    """

    def __init__(self, port: ServicePort) -> None:
        self.port = port

    def ask(self, message: ServiceAsk, kind: type[R]) -> R:
        """Send a message and return the answer of type `kind`.

        Raises
        ------
        FednbError
            What went wrong at the service or at a site.
        """
        reply = decode_service_reply(self.port.call(encode(message)))
        if isinstance(reply, Fault):
            raise reply.revived()
        if not isinstance(reply, kind):
            text = f"The service answered a {type(reply).__name__}."
            raise WireError(text)
        return reply

    def sites(self) -> SiteLines:
        """Return all sites and how they are."""
        return self.ask(ListSites(), SiteLines)

    def proxy(
        self, name: str, known: KnownSites, dry_runner: DryRunner | None
    ) -> DatasiteProxy:
        """Return a proxy of a site that speaks through the service."""
        send = self._sender(name)
        return DatasiteProxy(name, send, known=known, dry_runner=dry_runner)

    def prepare(self, ask: Prepare) -> Prepared:
        """Return seeded initial weights, kept at the service."""
        return self.ask(ask, Prepared)

    def weights(self, sha256: str) -> NDArray[np.float32]:
        """Return weights by their hash, flat float32."""
        found = self.ask(FetchWeights(sha256), Weights)
        return np.asarray(unpack(found.data), dtype=np.float32)

    def _sender(self, site: str) -> Callable[[bytes], bytes]:
        def send(frame: bytes) -> bytes:
            return self.ask(Forward(site, frame), Forwarded).reply

        return send

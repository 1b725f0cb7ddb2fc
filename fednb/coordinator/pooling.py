"""One call to all participants at once, and the sum of what they release."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fednb.config import INLINE_BYTES, LONG_POLL_SECONDS
from fednb.errors import (
    IntegrityError,
    RefusedError,
    RunStoppedError,
    SiteDownError,
    WireError,
)
from fednb.privacy.pool import total, total_state
from fednb.privacy.signatures import attestation_holds
from fednb.records.messages import Call, Collect, Release, State
from fednb.records.service import ReleaseLine
from fednb.records.specs import SummedPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fednb.coordinator.site_link import SiteLink
    from fednb.records.contracts import Contract
    from fednb.records.outputs import Output, Place

RETRIES = 3
RETRY_SECONDS = 0.2


@dataclass(frozen=True)
class Collected:
    """The releases of one call to all its sites.

    Attributes
    ----------
    outputs
        For each output name, every site's output in site-name order.
    lines
        What left, by name and size.
    """

    outputs: dict[str, tuple[Output, ...]]
    lines: tuple[ReleaseLine, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all outputs."""
        return sum(line.bytes for line in self.lines)

    def total(
        self, name: str, contract: Contract, *, training: bool
    ) -> NDArray[np.float64]:
        """Return the sum of an output over all participants."""
        return total(self.outputs[name], contract.sites(), training=training)

    def update(self, name: str, contract: Contract) -> NDArray[np.floating[Any]]:
        """Return the sum of a strategy's vector over all participants."""
        return total_state(self.outputs[name], contract.sites())


class Pool:
    """Calls several sites at the same time.

    Parameters
    ----------
    sites
        Proxies by name.
    one_worker
        See `fednb.wire.transport.Transport`.
    """

    def __init__(
        self, sites: Mapping[str, SiteLink], *, one_worker: bool = False
    ) -> None:
        self.sites = dict(sites)
        self._one_worker = one_worker
        self._threads = ThreadPoolExecutor(
            max(4, len(self.sites)), thread_name_prefix="fednb-pool"
        )

    def close(self) -> None:
        """Stop calling."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def each(
        self, names: tuple[str, ...], action: Callable[[SiteLink], object]
    ) -> dict[str, object]:
        """Do something with several sites at once and return what each gave."""
        futures = {n: self._threads.submit(action, self.sites[n]) for n in names}
        return {name: future.result() for name, future in futures.items()}

    def collect(
        self,
        calls: Mapping[str, Call],
        contract: Contract,
        *,
        going_on: Callable[[], bool],
    ) -> Collected:
        """Send each site its call and wait until all have released.

        Parameters
        ----------
        calls
            One call a site.
        contract
            Under which they are made.
        going_on
            Asked while sites work; False gives up.

        Raises
        ------
        RefusedError
            A site said no.
        SiteDownError
            A site could not be reached, after some retries.
        RunStoppedError
            `going_on` said so.
        IntegrityError
            An output is not signed by its site, or belongs elsewhere.
        """
        keys = {p.site: p.signing_key for p in contract.participants}

        def one(name: str) -> Release:
            release = _patiently(self.sites[name], calls[name], going_on)
            _check(release, calls[name].place, keys[name])
            return release

        names = sorted(calls)
        if len(names) == 1 or self._in_turn(calls[names[0]], contract):
            releases = [one(name) for name in names]
        else:
            futures = [self._threads.submit(one, name) for name in names]
            # wait for all, so that no site is left working on a round given up
            errors = [future.exception() for future in futures]
            for error in errors:
                if error is not None:
                    raise error
            releases = [future.result() for future in futures]
        outputs: dict[str, list[Output]] = {}
        for release in releases:
            for output in release.attested():
                outputs.setdefault(output.name, []).append(output)
        lines = tuple(_line(r, o) for r in releases for o in r.outputs)
        return Collected({n: tuple(found) for n, found in outputs.items()}, lines)

    def _in_turn(self, call: Call, contract: Contract) -> bool:
        """Whether sites are better called one after the other.

        Sites in one process share its interpreter, and a worker that trains for one at
        a time. Threads help where numpy works for long: in fits, and on large arrays.
        """
        fit = isinstance(contract.steps[call.place.step], SummedPlan)
        return self._one_worker and not fit and call.nbytes <= INLINE_BYTES

    def recall(self, stubs: Sequence[Output], contract: Contract) -> tuple[Output, ...]:
        """Return outputs that sites released before, as they keep them.

        Parameters
        ----------
        stubs
            The outputs without their data.
        contract
            Under which they were released.

        Raises
        ------
        RefusedError
            A site does not keep them any more.
        SiteDownError, IntegrityError
            As `collect`.
        """
        keys = {p.site: p.signing_key for p in contract.participants}
        found: list[Output] = []
        for stub in stubs:
            ask = Collect(call_id(stub.place, stub.site))
            release = self.sites[stub.site].ask(ask)
            if not isinstance(release, Release):
                message = f"{stub.site} answered a {type(release).__name__}."
                raise WireError(message, stub.site)
            _check(release, stub.place, keys[stub.site])
            found += [o for o in release.attested() if o.name == stub.name]
        return tuple(found)


def call_id(place: Place, site: str) -> str:
    """Return the id of the call to a site at a place: asked again, it is the same."""
    return f"{place.run}.{place.step}.{place.round}.{place.attempt}.{site}"


def _patiently(site: SiteLink, call: Call, going_on: Callable[[], bool]) -> Release:
    """Send a call; ask again while the site works, retry while it is away."""
    ask: Call | Collect = call
    failures = 0
    while True:
        if not going_on():
            message = "The run was stopped."
            raise RunStoppedError(message, site=site.name, cause="stopped")
        try:
            reply = site.ask(ask)
        except (SiteDownError, RefusedError) as error:
            failures += 1
            if failures > RETRIES or not _passing(error, ask):
                raise
            time.sleep(RETRY_SECONDS * failures)
            ask = call
            continue
        if isinstance(reply, Release):
            return reply
        if not isinstance(reply, State) or reply.status != "working":
            message = f"{site.name} answered a {type(reply).__name__} to a call."
            raise WireError(message, site.name)
        ask = Collect(call.id, LONG_POLL_SECONDS)


def _passing(error: SiteDownError | RefusedError, ask: Call | Collect) -> bool:
    """Whether it is worth sending a call again, in full."""
    if isinstance(error, SiteDownError):
        return True
    # a site that was restarted has forgotten what it was working on
    return isinstance(ask, Collect) and error.cause == "unknown-contract"


def _check(release: Release, place: Place, key: str) -> None:
    """Refuse outputs that the site did not sign for this place."""
    for output in release.outputs:
        if output.place != place or output.site != release.site:
            message = f"An output of {release.site} belongs to another round."
            raise IntegrityError(message, release.site)
    leaves = tuple(output.leaf() for output in release.outputs)
    attestation = release.attestation
    if leaves != attestation.leaves or not attestation_holds(key, attestation):
        message = f"A release of {release.site} does not bear its signature."
        raise IntegrityError(message, release.site)


def _line(release: Release, output: Output) -> ReleaseLine:
    return ReleaseLine(
        output.site,
        output.place.step,
        output.place.round,
        output.name,
        output.kind,
        output.data.data.nbytes,
        release.head,
    )

"""Standing contracts: asked once, kept over notebooks, asked anew once they end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from fednb.coordinator.handles import undecided
from fednb.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fednb.coordinator.handles import Request
    from fednb.records.contracts import Contract


@dataclass(frozen=True)
class StandingRequests:
    """The standing contracts of one scientist, by dataset and participants.

    Attributes
    ----------
    draft
        Makes the contract for a dataset and sites; no sites: all that have it.
    propose
        Hands a contract in at its participants.
    earlier
        Returns all requests made from this coordinator.
    """

    draft: Callable[[str, tuple[str, ...]], Contract]
    propose: Callable[[Contract], Request]
    earlier: Callable[[], tuple[Request, ...]]
    _known: dict[tuple[str, tuple[str, ...]], Request] = field(default_factory=dict)
    _usable: set[str] = field(default_factory=set)
    _spent: set[str] = field(default_factory=set)

    def approved(self, dataset: str, sites: tuple[str, ...]) -> Request:
        """Return the approved standing contract of a dataset, requesting it once.

        Parameters
        ----------
        dataset
            Name of the dataset.
        sites
            Participants; none: all that have the dataset.

        Raises
        ------
        RunError
            An owner has not decided yet, or decided against it.
        """
        known = self._known.get((dataset, sites))
        if known is None:
            contract = self.draft(dataset, sites)
            known = self._asked_before(contract) or self.propose(contract)
            self._known[dataset, sites] = known
        if known.hash not in self._usable:
            self._check_approved(known)
            self._usable.add(known.hash)
        return known

    def forget(self, request: Request, *, spent: bool = True) -> None:
        """Look for the standing contract anew at the next call.

        Parameters
        ----------
        request
            The one that was used so far.
        spent
            Whether it can never be used again, though it is approved: owners are asked
            anew. Else they are where it has ended, or would say something else now.
        """
        if spent:
            self._spent.add(request.hash)
        self._usable.discard(request.hash)
        for key in [key for key, known in self._known.items() if known == request]:
            del self._known[key]

    def _asked_before(self, contract: Contract) -> Request | None:
        """Return a request of an earlier notebook that says the same and may be used.

        Owners are asked once, whatever becomes of a notebook.
        """
        for request in self.earlier():
            old = request.contract
            same = msgspec.structs.replace(
                contract, nonce=old.nonce, created=old.created, expires=old.expires
            )
            usable = same == old and request.hash not in self._spent
            if usable and set(request.status.values()) <= {"approved", "pending"}:
                return request
        return None

    def _check_approved(self, request: Request) -> None:
        try:
            waiting = undecided(request.status)
        except RunError:
            # as where a site refuses: the next call asks anew
            self.forget(request)
            raise
        if waiting:
            message = (
                f"The standing contract of {request.contract.dataset!r} waits for the "
                f"approval of {', '.join(waiting)}: request {request.hash[:12]}, asked "
                "once. Ask again when they have decided."
            )
            raise RunError(message, site=waiting[0], cause="not-approved")

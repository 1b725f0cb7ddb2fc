"""`ApprovalInbox`: contracts that wait for a site owner, and their decisions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import anywidget
import traitlets
from typing_extensions import override

from fednb.display.text import utc, visible
from fednb.errors import FednbError, InputError
from fednb.owner.site_owner import SiteOwner
from fednb.widgets.comms import hear_while_busy
from fednb.widgets.publisher import Publisher
from fednb.widgets.sources import CSS, ask, module

if TYPE_CHECKING:
    from fednb.owner.requests import OwnerRequest, Requests

MAX_SHOWN: Final = 20
"""Contracts shown, those that wait first; the rest is counted."""

REFRESH_SECONDS: Final = 2.0
LEASE_SECONDS: Final = 300.0

_MAX_TEXT: Final = 1000
_VERBS: Final[dict[str, tuple[str, ...]]] = {
    "pending": ("approve", "deny"),
    "approved": ("revoke",),
}
"""What can be decided, by where a contract stands."""

_ORDER: Final = ("pending", "approved")


class ApprovalInbox(anywidget.AnyWidget):
    """Shows each contract in full, with what its owner can decide.

    A decision names the hash of a contract that is on the page, and goes through
    `OwnerRequest`, as one in Python does: it signs that hash with the site's key.

    Parameters
    ----------
    owner
        A site's owner: contracts that arrive later appear by themselves while the
        inbox is displayed. Or an owner's `Requests`, as of when they were looked up.

    Attributes
    ----------
    site
        Name of the site; empty where only its requests were given.
    requests
        Rows for the front end. ``page`` is HTML that the display layer built and
        escaped; everything else is text. ``changes`` are lines: what differs from the
        last approved contract of the same requester, purpose and dataset.
    rest
        Contracts that are not shown.
    notice
        Why a decision was not made.
    """

    _esm = module("approval_inbox")
    _css = CSS

    site = traitlets.Unicode().tag(sync=True)
    requests: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    rest = traitlets.Int().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, owner: SiteOwner | Requests) -> None:
        self._owner = owner
        name = owner.name if isinstance(owner, SiteOwner) else ""
        super().__init__(site=visible(name))
        self._shown: dict[str, OwnerRequest] = {}
        self._lock = threading.Lock()
        self._show()
        self.on_msg(self._on_message)
        hear_while_busy(self)
        self.publisher = Publisher(self._refresh, LEASE_SECONDS)

    @override
    def close(self) -> None:
        """Take the inbox off the page; nothing is decided."""
        self.publisher.close()
        super().close()

    def _look(self) -> Requests:
        owner = self._owner
        return owner.requests if isinstance(owner, SiteOwner) else owner

    def _show(self) -> None:
        # by the kernel's thread after a decision, by the publisher's otherwise
        with self._lock:
            every = sorted(self._look(), key=_place)
            shown = every[:MAX_SHOWN]
            self._shown = {r.hash: r for r in shown}
            self.requests = [_row(r) for r in shown]
            self.rest = len(every) - len(shown)

    def _refresh(self) -> float | None:
        try:
            self._show()
        except FednbError as error:
            self.notice = visible(error, _MAX_TEXT)
        return REFRESH_SECONDS if isinstance(self._owner, SiteOwner) else None

    def _on_message(self, _: object, content: object, _buffers: object) -> None:
        words = ask(content)
        if "verb" in words:
            try:
                self._decide(words["verb"], words.get("hash", ""), words)
                self.notice = ""
            except FednbError as error:
                self.notice = visible(error, _MAX_TEXT)
        self.publisher.start()

    def _decide(self, verb: str, contract: str, words: dict[str, str]) -> None:
        request = self._shown.get(contract)
        if request is None:
            message = f"No contract {contract[:12]!r} is shown; show the requests anew."
            raise InputError(message)
        if verb == "approve":
            request.approve(words.get("note", ""))
        elif verb == "deny":
            request.deny(words.get("reason", ""))
        elif verb == "revoke":
            request.revoke(words.get("reason", ""))
        else:
            message = f"A request is approved, denied or revoked; got {verb[:40]!r}."
            raise InputError(message)
        self._show()


def _place(request: OwnerRequest) -> int:
    status = request.status
    return _ORDER.index(status) if status in _ORDER else len(_ORDER)


def _row(request: OwnerRequest) -> dict[str, Any]:
    return {
        "hash": request.hash,
        "status": request.status,
        "requester": visible(request.requester),
        "dataset": visible(request.contract.dataset),
        "purpose": visible(request.purpose),
        "received": utc(int(request.received)),
        "changes": list(request.changes.lines()),
        "page": request._repr_html_(),
        "verbs": list(_VERBS.get(request.status, ())),
    }

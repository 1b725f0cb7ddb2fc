"""Contracts as a site owner decides on them: shown in full, then approved or denied."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from fednb.display import html, text
from fednb.display.contract import (
    MAX_PURPOSE,
    contract_html,
    contract_text,
)
from fednb.display.hooks import Shown
from fednb.errors import InputError, UnknownNameError
from fednb.owner.changes import ContractChanges
from fednb.records.keys import key_fingerprint
from fednb.site.approvals import last_decided

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fednb.display.html import Html
    from fednb.records.contracts import Contract, OutputSpec, Status
    from fednb.records.tasks import AnyPlan
    from fednb.site.approvals import Approvals, Filed

_HEADERS = ("", "contract", "status", "requester", "key", "dataset", "purpose", "seen")


class OwnerRequest(Shown):
    """A contract that was proposed to this site; shows all of it.

    Parameters
    ----------
    filed
        The contract as the site has it. `status` is as of then, and after a decision
        made through this object.
    approvals
        Where decisions are recorded.
    notes
        What the owner should know about the requester, beside the contract.
    earlier
        The last contract of the same requester, purpose and dataset that was approved.
    """

    def __init__(
        self,
        filed: Filed,
        approvals: Approvals,
        notes: tuple[str, ...] = (),
        earlier: Filed | None = None,
    ) -> None:
        self._filed = filed
        self._approvals = approvals
        self._earlier = earlier
        self.notes = notes

    @property
    def hash(self) -> str:
        """SHA-256 of the contract's canonical bytes: what an approval signs."""
        return self._filed.hash

    @property
    def contract(self) -> Contract:
        """The contract itself."""
        return self._filed.contract

    @property
    def status(self) -> Status:
        """``"pending"``, ``"approved"``, ``"denied"``, ``"expired"``, ``"revoked"``."""
        return self._filed.status

    @property
    def received(self) -> float:
        """When it was proposed, Unix time in seconds."""
        return self._filed.received

    @property
    def note(self) -> str:
        """The owner's note or reason; stays at the site."""
        return self._filed.note

    @property
    def purpose(self) -> str:
        """What the scientist wants it for, in their own words."""
        return self.contract.purpose

    @property
    def requester(self) -> str:
        """Name for people to read; the key is the identity."""
        return self.contract.requester

    @property
    def steps(self) -> tuple[AnyPlan, ...]:
        """One plan, or the chain of a study."""
        return self.contract.steps

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Everything that may leave."""
        return self.contract.outputs

    @property
    def changes(self) -> ContractChanges:
        """What differs from the last approved contract of its kind."""
        return ContractChanges(self.contract, self._earlier)

    def approve(self, note: str = "") -> OwnerRequest:
        """Let it run here until it expires; signs its hash with the site's key.

        Keys of other sites that `notes` name as unknown are confirmed by it.

        Parameters
        ----------
        note
            For the site's own records.

        Raises
        ------
        InputError
            It is not pending, or names other keys of a site than the confirmed ones.
        HomeError
            The decision could not be stored; nothing was approved.
        """
        return self._decide("approved", note)

    def deny(self, reason: str) -> OwnerRequest:
        """Refuse it for good.

        Parameters
        ----------
        reason
            Why; stays at the site, the requester is told only that it was denied.

        Raises
        ------
        InputError
            It is not pending, or there is no reason.
        """
        return self._decide("denied", _required(reason))

    def revoke(self, reason: str) -> OwnerRequest:
        """Take an approval back; a task that is running stops.

        Parameters
        ----------
        reason
            Why; stays at the site.

        Raises
        ------
        InputError
            It is not approved, or there is no reason.
        """
        return self._decide("revoked", _required(reason))

    def _decide(self, status: Status, note: str) -> OwnerRequest:
        self._approvals.decide(self.hash, status, note, hand=True)
        self._filed = self._approvals.find(self.hash) or self._filed
        return self

    def _decision(self) -> str:
        return f"The owner's note: {self.note}" if self.note else ""

    def _text(self) -> str:
        lines = [f"! {text.visible(note, MAX_PURPOSE)}" for note in self.notes]
        lines += [f"~ {line}" for line in self.changes.lines()]
        lines += [f"~ {text.visible(line, MAX_PURPOSE)}" for line in self.changes.code]
        lines.append(contract_text(self.contract, self.status))
        if self.note:
            lines += ["", text.visible(self._decision(), MAX_PURPOSE)]
        return "\n".join(lines)

    def _html(self) -> Html:
        notes = map(html.look, self.notes)
        page = contract_html(self.contract, self.status)
        told = html.element("p", html.escape(self._decision(), MAX_PURPOSE))
        return html.element(
            "div", *notes, self.changes.html(), page, told if self.note else ""
        )


class Requests(Shown):
    """The contracts of a site, newest first, as of when they were looked up.

    Parameters
    ----------
    requests
        Newest first.
    unreadable
        Hashes of contracts whose stored bytes are not theirs: shown, never in force.
    """

    def __init__(
        self, requests: Iterable[OwnerRequest], unreadable: Iterable[str] = ()
    ) -> None:
        self._requests = tuple(requests)
        self.unreadable = tuple(unreadable)

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[OwnerRequest]:
        return iter(self._requests)

    @overload
    def __getitem__(self, which: int | str) -> OwnerRequest: ...
    @overload
    def __getitem__(self, which: slice) -> Requests: ...
    def __getitem__(self, which: int | str | slice) -> OwnerRequest | Requests:
        """Return a request by position or by the beginning of its hash.

        Raises
        ------
        UnknownNameError
            No contract's hash begins so.
        InputError
            There is none at that position, or several hashes begin so.
        """
        if isinstance(which, slice):
            return Requests(self._requests[which])
        if isinstance(which, str):
            return self._by_hash(which.strip().lower())
        if not -len(self) <= which < len(self):
            message = f"There is no request {which}; the site has {len(self)}."
            raise InputError(message)
        return self._requests[which]

    @property
    def pending(self) -> Requests:
        """Those that wait for a decision."""
        return Requests(r for r in self._requests if r.status == "pending")

    def _by_hash(self, prefix: str) -> OwnerRequest:
        found = [r for r in self._requests if prefix and r.hash.startswith(prefix)]
        if not found:
            known = (r.hash[:12] for r in self._requests)
            raise UnknownNameError("contract", prefix, known)
        if len(found) > 1:
            message = f"{len(found)} contracts begin with {prefix!r}; give more of it."
            raise InputError(message)
        return found[0]

    def _heading(self) -> str:
        waiting = len(self.pending)
        count = text.counted(len(self), "contract")
        return f"{count}, {waiting} waiting for a decision"

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                i,
                request.hash[:12],
                request.status,
                request.requester,
                key_fingerprint(request.contract.requester_key)[:9]
                + (" !" if request.notes else ""),
                request.contract.dataset,
                request.purpose,
                text.utc(int(request.received)),
            )
            for i, request in enumerate(self._requests)
        ]

    def _warnings(self) -> list[str]:
        return [
            f"Contract {name[:12]} is not in force: its stored bytes were edited "
            "or are damaged. Have it proposed again, and check the ledger."
            for name in self.unreadable
        ]

    def _legend(self) -> str:
        if any(r.notes for r in self._requests):
            return "! look at the request: there is a note about a key"
        return ""

    def _text(self) -> str:
        lines = [self._heading()]
        lines += [f"! {text.visible(warning)}" for warning in self._warnings()]
        if self._requests:
            lines += ["", text.table(_HEADERS, self._rows(), limit=60)]
        if self._legend():
            lines.append(self._legend())
        return "\n".join(lines)

    def _html(self) -> Html:
        rows = [(*row[:2], html.badge(str(row[2])), *row[3:]) for row in self._rows()]
        grid = html.table(_HEADERS, rows, limit=60) if rows else ""
        legend = html.element("p", self._legend(), class_="muted")
        heading = html.element("p", self._heading())
        warnings = map(html.look, self._warnings())
        return html.element("div", heading, *warnings, grid, legend)


def requests_of(approvals: Approvals) -> Requests:
    """Return the contracts of a site, each with notes about its requester's key.

    Parameters
    ----------
    approvals
        Of the site.
    """
    every = approvals.all()
    approved = [f for f in every if _was_approved(f)]
    requests = (
        OwnerRequest(
            f,
            approvals,
            (*_notes(f, every), *_keys(f, approvals)),
            last_decided(f, approved),
        )
        for f in every
    )
    return Requests(requests, approvals.unreadable())


def _notes(filed: Filed, every: tuple[Filed, ...]) -> tuple[str, ...]:
    """Say what the site's past tells about a key: names are not identities (law 4)."""
    contract = filed.contract
    others = [f for f in every if f.hash != filed.hash]
    notes = []
    if not any(
        f.contract.requester_key == contract.requester_key and _was_approved(f)
        for f in others
    ):
        notes.append(
            "First contract of this key: none was approved here before. Compare the "
            "key's fingerprint with the requester, for example by telephone."
        )
    if any(
        f.contract.requester == contract.requester
        and f.contract.requester_key != contract.requester_key
        for f in others
    ):
        notes.append(
            f"The name {contract.requester} came with another key before. The key is "
            "the identity; the name is not."
        )
    return tuple(notes)


def _keys(filed: Filed, approvals: Approvals) -> tuple[str, ...]:
    """Say which participants' keys nobody confirmed: who plays them sees this site."""
    if filed.status != "pending":
        return ()
    unknown = [
        f"Unknown key: nobody confirmed that {site} has keys {mark}. Compare them with "
        f"{site} by telephone: whoever holds the keys of all other sites sees what "
        "this site adds to a sum. Approving confirms them."
        for site, mark in approvals.peers.strangers(filed.contract).items()
    ]
    changed = [
        f"Other key: {site} is confirmed with other keys than {mark}. The contract "
        "cannot be approved."
        for site, mark in approvals.peers.changed(filed.contract).items()
    ]
    return (*changed, *unknown)


def _was_approved(filed: Filed) -> bool:
    decided = filed.decided > 0
    return filed.status in {"approved", "revoked"} or (
        filed.status == "expired" and decided
    )


def _required(reason: str) -> str:
    if not reason.strip():
        message = "Say why, for the site's own records: reason is empty."
        raise InputError(message)
    return reason

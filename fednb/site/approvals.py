"""Contracts at a site: received, decided by the owner, checked at every call."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fednb.errors import Cause, InputError, UnknownNameError
from fednb.privacy.contract_diff import contract_diff, only_tightens
from fednb.privacy.signatures import signature_holds
from fednb.records.base import canonical, sha256_hex
from fednb.records.contracts import Contract, Status
from fednb.site.peers import Peers
from fednb.site.verdicts import deny

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import TypeGuard

    from fednb.records.outputs import Decision
    from fednb.site.home import Home
    from fednb.site.ledger import Ledger

_FOLLOWS: Final[dict[Status, tuple[Status, ...]]] = {
    "pending": ("approved", "denied"),
    "approved": ("revoked",),
}
# each with its newest decision: one look a contract, which every call takes thrice
_CONTRACTS: Final = (
    "SELECT CAST(c.hash AS TEXT), CAST(c.body AS BLOB), CAST(c.received AS REAL), "
    "l.seq, l.time, l.kind, l.body, l.previous, l.hash, l.signature "
    "FROM contracts AS c LEFT JOIN ledger AS l ON l.seq = (SELECT MAX(seq) FROM ledger "
    "WHERE kind = 'decision' AND contract = c.hash) "
)
_Row = tuple[Any, ...]


@dataclass(frozen=True)
class Filed:
    """A contract as a site has it.

    Attributes
    ----------
    hash
        SHA-256 of the canonical bytes.
    contract
        What the bytes say.
    status
        Where it stands, expiry taken into account.
    received, decided
        Unix times in seconds; `decided` is 0 while pending.
    note
        The owner's note or reason.
    entry
        Number of its newest decision in the ledger; 0: none holds.
    """

    hash: str
    contract: Contract
    status: Status
    received: float
    decided: float
    note: str
    entry: int = 0


def last_decided(filed: Filed, every: Iterable[Filed]) -> Filed | None:
    """Return the contract of the same kind that was decided last, before this one.

    Parameters
    ----------
    filed
        A contract; where it is decided itself, later decisions do not count.
    every
        All contracts of the site.

    Returns
    -------
    Filed or None
        Of the same requester's key, purpose and dataset; None where there is none.
    """
    kind = _kind(filed.contract)
    until = filed.decided or float("inf")
    alike = [
        other
        for other in every
        if 0 < other.decided <= until
        and other.hash != filed.hash
        and _kind(other.contract) == kind
    ]
    return max(alike, key=lambda other: other.decided, default=None)


def _kind(contract: Contract) -> tuple[str, str, str]:
    return contract.requester_key, contract.purpose, contract.dataset


class Approvals:
    """The contracts of a home.

    Parameters
    ----------
    home, ledger
        Of the site.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self.peers = Peers(home, ledger)
        self._read: dict[str, tuple[_Row, Filed | None]] = {}

    def receive(self, body: bytes, signature: bytes) -> Contract | Decision:
        """Read a proposed contract; a decision says why it cannot be considered."""
        try:
            contract = msgspec.json.decode(body, type=Contract)
        except (msgspec.DecodeError, InputError, UnicodeDecodeError) as error:
            return deny("contract.schema", f"Not a contract: {error}", "malformed")
        if canonical(contract) != body:
            return deny("contract.canonical", "The bytes are not canonical.", "edited")
        if not signature_holds(contract.requester_key, signature, body):
            reason = f"The signature is not of {contract.requester!r}'s key."
            return deny("contract.signature", reason, "signature")
        return contract

    def file(self, contract: Contract, signature: bytes) -> None:
        """Store a contract as pending; one that is known already stands as it stood."""
        body = canonical(contract)
        digest = sha256_hex(body)
        with self._home.transaction() as database:
            # the hash names the bytes: proposing again repairs what was damaged
            database.execute(
                "INSERT INTO contracts VALUES (?, ?, ?, ?) ON CONFLICT (hash) "
                "DO UPDATE SET body = excluded.body, signature = excluded.signature",
                (digest, body, signature, time.time()),
            )
            if self._ledger.decision(digest) is None:
                self._ledger.append(
                    database,
                    "decision",
                    {
                        "contract": digest,
                        "status": "pending",
                        "requester": contract.requester,
                        "requester_key": contract.requester_key,
                        "purpose": contract.purpose,
                    },
                )

    def find(self, contract_hash: str) -> Filed | None:
        """Return a contract by its hash; None where it is unknown or unreadable."""
        row = self._row(contract_hash)
        return self._filed(row) if row else None

    def all(self) -> tuple[Filed, ...]:
        """Return all contracts that can be read, newest first."""
        every = (self._filed(row) for row in self._rows())
        return tuple(filed for filed in every if filed is not None)

    def unreadable(self) -> tuple[str, ...]:
        """Return the hashes of contracts whose stored bytes are not theirs.

        Somebody wrote into the database, or it is damaged. They are not in force;
        proposing such a contract again repairs it.
        """
        return tuple(row[0] for row in self._rows() if self._filed(row) is None)

    def decide(
        self, contract_hash: str, status: Status, note: str = "", *, hand: bool = False
    ) -> None:
        """Record the owner's decision, signed with the site's key.

        Parameters
        ----------
        contract_hash
            The contract.
        status
            ``"approved"``, ``"denied"`` or ``"revoked"``.
        note
            A note, or the reason of a denial; stays at the site.
        hand
            Whether a person decides, who was shown which keys are unknown: approving
            confirms them.

        Raises
        ------
        UnknownNameError
            The site has no such contract.
        InputError
            The decision does not follow from where the contract stands, or the contract
            names other keys than those that are confirmed.
        """
        # looked up inside: two owners who decide at the same moment take turns
        with self._home.transaction() as database:
            filed = self._known(contract_hash)
            if status not in _FOLLOWS.get(filed.status, ()):
                message = f"Contract {contract_hash[:12]} is {filed.status}; it cannot "
                raise InputError(message + f"be {status}.")
            if hand and status == "approved":
                self._meet(database, filed)
            body = {"contract": contract_hash, "status": status, "note": note}
            self._ledger.append(database, "decision", body)

    def _meet(self, database: sqlite3.Connection, filed: Filed) -> None:
        """Confirm the keys that a contract was approved with."""
        changed = self.peers.changed(filed.contract)
        if changed:
            site, mark = next(iter(changed.items()))
            message = (
                f"Contract {filed.hash[:12]} names other keys of {site} than those "
                f"that are confirmed. Ask {site} by telephone; if its keys are new: "
                f'owner.peers.confirm("{site}", "{mark}").'
            )
            raise InputError(message)
        how = f"approving contract {filed.hash[:12]}"
        for site, mark in self.peers.strangers(filed.contract).items():
            self.peers.enter(database, site, mark, how)

    def carry_over(self, contract_hash: str) -> bool:
        """Let a pending contract take over the approval of one that it only tightens.

        That one is the last that was decided of the same requester's key, purpose and
        dataset. It must be approved, in force and unused, and it ends with this: one
        approval by hand never lets more leave than its owner read. Both decisions are
        entered, each with the other's hash.

        Parameters
        ----------
        contract_hash
            A contract that is pending.

        Returns
        -------
        bool
            False where it waits for its owner.
        """
        with self._home.transaction() as database:
            filed = self._known(contract_hash)
            earlier = last_decided(filed, self.all())
            if filed.status != "pending" or not self._carries(earlier, filed):
                return False
            changes = contract_diff(earlier.contract, filed.contract)
            approval = {
                "contract": filed.hash,
                "status": "approved",
                "note": f"Only tightens {earlier.hash}; approved by rule carry_over.",
                "carried_from": earlier.hash,
                "changes": [change.line() for change in changes],
            }
            end = {
                "contract": earlier.hash,
                "status": "revoked",
                "note": f"Replaced by {filed.hash} under rule carry_over.",
                "carried_to": filed.hash,
            }
            # the end first: what was decided last is the approval
            self._ledger.append(database, "decision", end)
            self._ledger.append(database, "decision", approval)
        return True

    def _carries(self, earlier: Filed | None, filed: Filed) -> TypeGuard[Filed]:
        """Whether an earlier contract's approval covers all of a proposed one."""
        if earlier is None or earlier.status != "approved":
            return False
        if not only_tightens(contract_diff(earlier.contract, filed.contract)):
            return False
        (used,) = self._home.database.execute(
            "SELECT count(*) FROM calls WHERE contract = ?", (earlier.hash,)
        ).fetchone()
        left = earlier.contract.resources.calls - used
        standing = earlier.contract.standing and filed.contract.standing
        return used == 0 or (standing and filed.contract.resources.calls <= left)

    def check(self, contract_hash: str) -> Filed | Decision:
        """Return the contract if it is in force; a decision says why not."""
        filed = self.find(contract_hash)
        if filed is None and self._row(contract_hash):
            reason = f"The stored bytes of {contract_hash[:12]} are not its own."
            return deny("contract.stored", reason, "edited")
        if filed is None:
            reason = f"No contract {contract_hash[:12]} was proposed here."
            return deny("contract.known", reason, "unknown-contract")
        if filed.status == "approved":
            return filed
        stops: dict[str, tuple[Cause, str]] = {
            "pending": (
                "not-approved",
                "The owner has not decided; see `fednb site requests`.",
            ),
            "denied": ("denied", f"Denied: {filed.note}"),
            "revoked": ("revoked", f"Revoked: {filed.note}"),
            "expired": ("expired", f"Expired at {filed.contract.expires} (Unix time)."),
        }
        cause, reason = stops[filed.status]
        return deny(f"contract.{filed.status}", reason, cause)

    def check_again(self, filed: Filed) -> Filed | Decision:
        """Do what `check` does, for a contract that has just been found in force.

        A look at the number of its newest decision is enough where nobody decided anew.
        """
        (newest,) = self._home.database.execute(
            "SELECT MAX(seq) FROM ledger WHERE kind = 'decision' AND contract = ?",
            (filed.hash,),
        ).fetchone()
        same = newest == filed.entry and filed.contract.expires > time.time()
        return filed if same else self.check(filed.hash)

    def _known(self, contract_hash: str) -> Filed:
        filed = self.find(contract_hash)
        if filed is not None:
            return filed
        if self._row(contract_hash):
            message = (
                f"Contract {contract_hash[:12]} cannot be read: its stored bytes are "
                "not its own. Have it proposed again."
            )
            raise InputError(message)
        raise UnknownNameError("contract", contract_hash, (f.hash for f in self.all()))

    def _row(self, contract_hash: str) -> _Row | None:
        row: _Row | None = self._home.database.execute(
            _CONTRACTS + "WHERE c.hash = ?", (contract_hash,)
        ).fetchone()
        return row

    def _rows(self) -> list[_Row]:
        order = "ORDER BY c.received DESC, c.rowid DESC"
        return self._home.database.execute(_CONTRACTS + order).fetchall()

    def _filed(self, row: _Row) -> Filed | None:
        """Return a contract as its newest decision in the ledger says it stands."""
        known = self._read.get(row[0])
        if known is None or known[0] != row:
            known = self._read[row[0]] = row, self._filed_anew(row)
        filed = known[1]
        if filed is None or filed.status not in {"pending", "approved"}:
            return filed
        over = filed.contract.expires <= time.time()
        return replace(filed, status="expired") if over else filed

    def _filed_anew(self, row: _Row) -> Filed | None:
        digest, body, received, *entry = row
        contract = _parsed(digest, body)
        if contract is None:
            return None
        decision = self._ledger.decided(tuple(entry)) if entry[0] else None
        if decision is None or decision.body["status"] == "pending":
            return Filed(digest, contract, "pending", received, 0.0, "")
        status, note = decision.body["status"], decision.body["note"]
        return Filed(
            digest, contract, status, received, decision.time, note, decision.seq
        )


def _parsed(digest: str, body: bytes) -> Contract | None:
    """Return the contract that a hash names; None where the bytes are others."""
    if sha256_hex(body) != digest:
        return None
    try:
        contract = msgspec.json.decode(body, type=Contract)
    except (msgspec.DecodeError, InputError):
        return None
    return contract if canonical(contract) == body else None

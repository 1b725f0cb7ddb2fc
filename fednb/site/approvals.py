"""Contracts at a site: received, decided by the owner, checked at every call."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fednb.errors import Cause, InputError, UnknownNameError
from fednb.records.base import canonical, sha256_hex
from fednb.records.contracts import Contract, Status
from fednb.site.keys import SiteKeys, signature_holds
from fednb.site.verdicts import deny

if TYPE_CHECKING:
    from fednb.records.outputs import Decision
    from fednb.site.home import Home
    from fednb.site.ledger import Ledger


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
    """

    hash: str
    contract: Contract
    status: Status
    received: float
    decided: float
    note: str


class Approvals:
    """The contracts of a home.

    Parameters
    ----------
    home, keys, ledger
        Of the site.
    """

    def __init__(self, home: Home, keys: SiteKeys, ledger: Ledger) -> None:
        self._home = home
        self._keys = keys
        self._ledger = ledger
        self._parsed: dict[str, Contract] = {}

    def receive(self, body: bytes, signature: bytes) -> Contract | Decision:
        """Read a proposed contract; a decision says why it cannot be considered."""
        try:
            contract = msgspec.json.decode(body, type=Contract)
        except (msgspec.DecodeError, InputError) as error:
            return deny("contract.schema", f"Not a contract: {error}", "malformed")
        if canonical(contract) != body:
            return deny("contract.canonical", "The bytes are not canonical.", "edited")
        if not signature_holds(contract.requester_key, signature, body):
            reason = f"The signature is not of {contract.requester!r}'s key."
            return deny("contract.signature", reason, "signature")
        return contract

    def file(self, contract: Contract, signature: bytes) -> None:
        """Store a contract as pending; one that is known already keeps its status."""
        body = canonical(contract)
        with self._home.transaction() as database:
            fresh = database.execute(
                "INSERT INTO contracts (hash, body, signature, received, status) "
                "VALUES (?, ?, ?, ?, 'pending') ON CONFLICT (hash) DO NOTHING",
                (sha256_hex(body), body, signature, time.time()),
            ).rowcount
            if fresh:
                self._ledger.append(
                    database,
                    "decision",
                    {
                        "contract": sha256_hex(body),
                        "status": "pending",
                        "requester": contract.requester,
                        "requester_key": contract.requester_key,
                        "purpose": contract.purpose,
                    },
                )

    def find(self, contract_hash: str) -> Filed | None:
        """Return a contract by its hash, or None."""
        row = self._home.database.execute(
            "SELECT hash, body, status, received, decided, note, owner_signature "
            "FROM contracts WHERE hash = ?",
            (contract_hash,),
        ).fetchone()
        return self._filed(row) if row else None

    def all(self) -> tuple[Filed, ...]:
        """Return all contracts, newest first."""
        rows = self._home.database.execute(
            "SELECT hash, body, status, received, decided, note, owner_signature "
            "FROM contracts ORDER BY received DESC, rowid DESC"
        )
        return tuple(self._filed(row) for row in rows)

    def decide(self, contract_hash: str, status: Status, note: str = "") -> None:
        """Record the owner's decision, signed with the site's key.

        Parameters
        ----------
        contract_hash
            The contract.
        status
            ``"approved"``, ``"denied"`` or ``"revoked"``.
        note
            A note, or the reason of a denial; stays at the site.

        Raises
        ------
        UnknownNameError
            The site has no such contract.
        InputError
            The decision does not follow from where the contract stands.
        """
        filed = self.find(contract_hash)
        if filed is None:
            known = (f.hash for f in self.all())
            raise UnknownNameError("contract", contract_hash, known)
        allowed: dict[str, tuple[str, ...]] = {
            "pending": ("approved", "denied"),
            "approved": ("revoked",),
        }
        if status not in allowed.get(filed.status, ()):
            message = f"Contract {contract_hash[:12]} is {filed.status}; it cannot be "
            raise InputError(message + f"{status}.")
        with self._home.transaction() as database:
            database.execute(
                "UPDATE contracts SET status = ?, decided = ?, note = ?, "
                "owner_signature = ? WHERE hash = ?",
                (
                    status,
                    time.time(),
                    note,
                    self._keys.sign(_decision_bytes(contract_hash, status)),
                    contract_hash,
                ),
            )
            self._ledger.append(
                database,
                "decision",
                {"contract": contract_hash, "status": status, "note": note},
            )

    def check(self, contract_hash: str) -> Filed | Decision:
        """Return the contract if it is in force; a decision says why not."""
        filed = self.find(contract_hash)
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

    def _filed(self, row: tuple[object, ...]) -> Filed:
        digest, body, status, received, decided, note, signature = row
        contract = self._parse(str(digest), bytes(body))  # type: ignore[call-overload]
        standing = str(status)
        if standing != "pending" and not signature_holds(
            self._keys.signing_public,
            bytes(signature or b""),  # type: ignore[call-overload]
            _decision_bytes(str(digest), standing),
        ):
            # somebody wrote into the database beside the owner: back to undecided
            standing = "pending"
        if standing in {"pending", "approved"} and contract.expires <= time.time():
            standing = "expired"
        return Filed(
            str(digest),
            contract,
            standing,  # type: ignore[arg-type]
            float(received),  # type: ignore[arg-type]
            float(decided or 0),  # type: ignore[arg-type]
            str(note or ""),
        )

    def _parse(self, digest: str, body: bytes) -> Contract:
        known = self._parsed.get(digest)
        if known is None or sha256_hex(body) != digest:
            known = msgspec.json.decode(body, type=Contract)
            if known.hash() != digest:
                message = f"The stored contract {digest[:12]} does not match its hash."
                raise InputError(message)
            self._parsed[digest] = known
        return known


def _decision_bytes(contract_hash: str, status: str) -> bytes:
    return f"fednb-decision\x1f{contract_hash}\x1f{status}".encode()

"""The one way out of a site (law 1): releases, publications, protocol messages.

A release is a ledger entry, a recorded call and the run's new state in one SQLite
transaction; only then are its bytes handed out. The same call gets the same bytes
again, and nothing is spent twice (law 5).
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fednb.config import INLINE_BYTES
from fednb.errors import InputError
from fednb.privacy.pool import TOTALS, fixed_point
from fednb.privacy.sealing import relay_context, seal
from fednb.privacy.secure_sum import MaskContext, mask
from fednb.records.arrays import Array, pack
from fednb.records.base import sha256_hex
from fednb.records.messages import Publication, Refusal, Release, Standing, State
from fednb.records.outputs import Decision, Output
from fednb.records.tasks import TrainingPlan
from fednb.site.budgets import spend
from fednb.site.cohorts import write_page
from fednb.wire.codec import encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract, OutputSpec
    from fednb.records.messages import Call
    from fednb.site.home import Home
    from fednb.site.keys import SiteKeys
    from fednb.site.ledger import Ledger
    from fednb.site.work import Page

_KEPT_ROUNDS = 2
_SALT_BYTES = 16
_FAULTS_TOLD = 3
"""Failures of a contract's own code of which type and line are told."""


@dataclass(frozen=True)
class Outgoing:
    """A call whose product is to be released.

    Attributes
    ----------
    call, contract
        What was asked, under which contract.
    digest
        Of the call's content.
    vectors
        What the task computed, by output name.
    decisions
        Verdicts of the rules that were applied.
    state
        The run's new state at this site, as stored; None for a standing contract.
    recipient
        Agreement key of the next site of a relay; empty: none.
    page
        Answered cohorts to store with the release; None: no table.
    released
        In how many rounds of the run each output was released, with this one.
    """

    call: Call
    contract: Contract
    digest: str
    vectors: Mapping[str, NDArray[np.generic]]
    decisions: tuple[Decision, ...]
    state: bytes | None = None
    recipient: str = ""
    page: Page | None = None
    released: Mapping[str, int] = field(default_factory=dict)


class Releases:
    """Makes and records everything that leaves a site.

    Parameters
    ----------
    home, keys, ledger
        Of the site.
    """

    def __init__(self, home: Home, keys: SiteKeys, ledger: Ledger) -> None:
        self._home = home
        self._keys = keys
        self._ledger = ledger
        self._site = home.get("name")

    def state(self, status: Standing) -> bytes:
        """Return a heartbeat or status as a message of fixed size."""
        return encode(State(self._site, status, time.time()), fixed=True)

    def refuse(self, decision: Decision, about: Mapping[str, object]) -> bytes:
        """Record a refusal with its reason, and return its fixed text.

        Parameters
        ----------
        decision
            What stopped it; its reason stays in the ledger.
        about
            What was asked, for the owner.
        """
        correlation = secrets.token_hex(8)
        body = {
            "correlation": correlation,
            "rule": decision.rule,
            "cause": decision.cause,
            "reason": decision.reason,
            "version": decision.version,
            "threshold": decision.threshold,
            **about,
        }
        fault = self._fault(decision, about)
        self._ledger.record("refusal", body)
        refusal = Refusal(self._site, decision.cause, correlation, fault)
        return encode(refusal, fixed=True)

    def _fault(self, decision: Decision, about: Mapping[str, object]) -> str:
        """Return what may be told of an error in a requester's own code.

        Type and line are the code's to choose: told at every failure, they would carry
        out whatever it has seen, a few bits at a time.
        """
        contract = str(about.get("contract", ""))
        if not decision.fault or not contract:
            return ""
        told = self._ledger.refusals(contract, decision.rule)
        return decision.fault if told < _FAULTS_TOLD else ""

    def refuse_unrecorded(self, decision: Decision) -> bytes:
        """Return a refusal where the ledger itself cannot be written."""
        refusal = Refusal(self._site, decision.cause, secrets.token_hex(8))
        return encode(refusal, fixed=True)

    def publish(
        self,
        kind: Literal["cards", "mock"],
        items: tuple[tuple[str, bytes], ...],
    ) -> bytes:
        """Record and return something that the owner published, each item signed."""
        names = tuple(name for name, _ in items)
        self._ledger.record("publication", {"kind": kind, "names": list(names)})
        publication = Publication(
            self._site,
            kind,
            names,
            tuple(body for _, body in items),
            tuple(self._keys.sign(body) for _, body in items),
        )
        return encode(publication)

    def recorded(self, call_id: str, digest: str) -> bytes | Decision | None:
        """Return the recorded answer to a call; None where it is new.

        Parameters
        ----------
        call_id
            Id of the call.
        digest
            Of its content; empty: whatever it was.

        Returns
        -------
        answer
            The same bytes as before, or a decision where the id was used for
            something else or the bytes are no longer kept.
        """
        row = self._home.database.execute(
            "SELECT digest, reply, reply_path FROM calls WHERE id = ?", (call_id,)
        ).fetchone()
        if row is None:
            return None
        if digest and row[0] != digest:
            reason = f"Call {call_id} was answered before with other content."
            return Decision(
                allow=False, rule="call.once", reason=reason, cause="replayed"
            )
        if row[1] is not None:
            return bytes(row[1])
        path = Path(row[2])
        if path.is_file():
            return path.read_bytes()
        reason = f"Call {call_id} is older than {_KEPT_ROUNDS} rounds."
        return Decision(allow=False, rule="call.kept", reason=reason, cause="replayed")

    def release(self, outgoing: Outgoing) -> bytes:
        """Protect, sign, record and return the outputs of a call.

        Raises
        ------
        InputError
            The product does not fit what the contract names.
        HomeError
            The release could not be stored; nothing left and nothing was spent.
        """
        call, contract = outgoing.call, outgoing.contract
        specs = {o.name: o for o in contract.outputs if o.step == call.place.step}
        made = tuple(
            self._output(outgoing, specs, name, values)
            for name, values in sorted(outgoing.vectors.items())
        )
        outputs = tuple(output for output, _ in made)
        leaves = tuple(output.leaf(digest) for output, digest in made)
        stored = ""
        with self._home.transaction() as database:
            body = _entry(call, made, outgoing.decisions)
            head = self._ledger.append(database, "release", body)
            attestation = self._keys.attest(head, leaves)
            frame = encode(
                Release(self._site, call.id, call.place, outputs, attestation)
            )
            inline = frame if len(frame) <= INLINE_BYTES else None
            if inline is None:
                name = sha256_hex(call.id.encode())
                stored = str(self._home.write_file("releases", name, frame))
            _insert(database, outgoing, inline, stored)
            if outgoing.page is not None:
                write_page(database, outgoing.page)
            plan = contract.steps[call.place.step]
            if isinstance(plan, TrainingPlan) and plan.dp is not None:
                spend(database, call.id)
            if outgoing.state is not None:
                place = call.place
                database.execute(
                    "INSERT INTO runs VALUES (?, ?, ?, ?) ON CONFLICT (run, step) "
                    "DO UPDATE SET state = excluded.state",
                    (place.run, place.step, place.contract, outgoing.state),
                )
        if inline is None:
            self._forget_files(call)
        return frame

    def _output(
        self,
        outgoing: Outgoing,
        specs: Mapping[str, OutputSpec],
        name: str,
        values: NDArray[np.generic],
    ) -> tuple[Output, str]:
        """Protect one output as its spec says; return it with its data's SHA-256."""
        spec = specs.get(name)
        if spec is None:
            message = f"The contract names no output {name!r} for this step."
            raise InputError(message)
        data = self._protected(outgoing, spec, values)
        count = math.prod(data.shape)
        if count > spec.elements or data.data.nbytes > spec.bytes:
            message = (
                f"Output {name!r} has {count} elements and {data.data.nbytes} bytes; "
                f"the contract names at most {spec.elements} and {spec.bytes}."
            )
            raise InputError(message)
        often = outgoing.released.get(name, 1)
        if often > spec.times:
            message = (
                f"Output {name!r} would be released in {often} rounds; the contract "
                f"names at most {spec.times}."
            )
            raise InputError(message)
        salt = secrets.token_bytes(_SALT_BYTES)
        output = Output(self._site, outgoing.call.place, name, spec.kind, data, salt)
        return output, sha256_hex(data.data)

    def _protected(
        self, outgoing: Outgoing, spec: OutputSpec, values: NDArray[np.generic]
    ) -> Array:
        contract, place = outgoing.contract, outgoing.call.place
        plan = contract.steps[place.step]
        unscaled = TOTALS | {"relay", "weights"}
        scaled = isinstance(plan, TrainingPlan) and spec.name not in unscaled
        if scaled:
            share = contract.weights[contract.sites().index(self._site)]
            values = np.multiply(values, share, dtype=values.dtype)
        if spec.kind == "masked":
            parties = len(contract.participants)
            training = isinstance(plan, TrainingPlan)
            ring = fixed_point(spec.name, parties, training=training)
            context = MaskContext(place, spec.name, contract.participants)
            # a share of an update was just computed: its memory can hold the encoding
            encoded = ring.encode(values, reuse=scaled)  # type: ignore[arg-type]
            return pack(mask(encoded, self._site, self._keys.agreement, context))
        if spec.kind == "sealed":
            raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
            sealed = seal(raw, outgoing.recipient, relay_context(place))
            return pack(np.frombuffer(sealed, dtype=np.uint8))
        if spec.kind == "receipt":
            return pack(np.asarray(values, dtype="<f8")[:2])
        return pack(values)

    def _forget_files(self, call: Call) -> None:
        """Drop the bytes of rounds that no retry can ask for any more."""
        rows = self._home.database.execute(
            "SELECT reply_path FROM calls WHERE contract = ? AND run = ? AND step = ? "
            "AND round = ? AND reply_path != ''",
            (
                call.place.contract,
                call.place.run,
                call.place.step,
                call.place.round - _KEPT_ROUNDS,
            ),
        )
        for (path,) in rows.fetchall():
            Path(path).unlink(missing_ok=True)


def _entry(
    call: Call, made: tuple[tuple[Output, str], ...], decisions: tuple[Decision, ...]
) -> dict[str, Any]:
    """Return what the ledger keeps of a release: names, sizes and hashes."""
    place = call.place
    return {
        "call": call.id,
        "contract": place.contract,
        "step": place.step,
        "run": place.run,
        "round": place.round,
        "attempt": place.attempt,
        "query": sha256_hex(call.query) if call.query else "",
        "outputs": [
            {
                "name": o.name,
                "kind": o.kind,
                "bytes": o.data.data.nbytes,
                "sha256": digest,
            }
            for o, digest in made
        ],
        "rules": [
            {
                "rule": d.rule,
                "version": d.version,
                "allow": d.allow,
                "threshold": d.threshold,
            }
            for d in decisions
        ],
    }


def _insert(
    database: sqlite3.Connection, outgoing: Outgoing, reply: bytes | None, path: str
) -> None:
    call, place = outgoing.call, outgoing.call.place
    database.execute(
        "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            call.id,
            outgoing.digest,
            place.contract,
            place.step,
            place.run,
            place.round,
            place.attempt,
            reply,
            path,
            time.time(),
        ),
    )

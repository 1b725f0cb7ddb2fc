"""The coordinator's home: requests, runs, rounds and checkpoints.

::

    home/
      coordinator.sqlite   runs, rounds, events, releases (WAL, synchronous=FULL)
      weights/             trained and initial weights by hash, safetensors
      checkpoints/         strategy state of the newest rounds, where it is large
      keys/                the scientist's signing key, mode 0600
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from fednb.config import INLINE_BYTES
from fednb.errors import UnknownNameError
from fednb.records.arrays import Array, pack
from fednb.records.base import sha256_hex
from fednb.records.outputs import Output
from fednb.records.service import (
    FINAL,
    Event,
    Fault,
    ReleaseLine,
    RequestLine,
    RoundLine,
    RunStatus,
)
from fednb.storage import Folder
from fednb.wire.tensors import save_once

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    Vectors = dict[str, NDArray[Any]]

_MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE requests (
        contract TEXT PRIMARY KEY, body BLOB NOT NULL, signature BLOB NOT NULL,
        created REAL NOT NULL);
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, contract TEXT NOT NULL, body BLOB NOT NULL,
        signature BLOB NOT NULL, status TEXT NOT NULL, step INTEGER NOT NULL,
        fault BLOB, created REAL NOT NULL, updated REAL NOT NULL);
    CREATE TABLE rounds (
        run TEXT NOT NULL, step INTEGER NOT NULL, round INTEGER NOT NULL,
        line BLOB NOT NULL, total BLOB, releases BLOB NOT NULL, relay BLOB NOT NULL,
        PRIMARY KEY (run, step, round));
    CREATE TABLE checkpoints (
        run TEXT NOT NULL, step INTEGER NOT NULL, round INTEGER NOT NULL,
        state BLOB, path TEXT NOT NULL, PRIMARY KEY (run, step));
    CREATE TABLE artefacts (
        run TEXT NOT NULL, step INTEGER NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY (run, step));
    CREATE TABLE attempts (run TEXT PRIMARY KEY, attempt INTEGER NOT NULL);
    CREATE TABLE events (
        run TEXT NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL,
        PRIMARY KEY (run, seq));
    """,
)


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it."""

    run: str
    contract: str
    body: bytes
    signature: bytes
    status: RunStatus
    step: int
    fault: Fault | None
    created: float
    updated: float


@dataclass(frozen=True)
class RoundRecord:
    """What a finished round leaves behind; stored in one transaction.

    Attributes
    ----------
    run, step
        Where.
    line
        Its figures.
    releases
        Every output that left a site.
    total
        Totals over all sites; None for a training round.
    state
        The strategy's arrays after the round; None for other steps.
    relay
        All sites' signed outputs, which the next round relays to every site.
    """

    run: str
    step: int
    line: RoundLine
    releases: tuple[ReleaseLine, ...]
    total: NDArray[np.float64] | None = None
    state: Vectors | None = None
    relay: tuple[Output, ...] = ()


class Store(Folder):
    """The coordinator's database and files.

    Parameters
    ----------
    path
        The home folder; made where it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, "coordinator.sqlite", _MIGRATIONS, create=True)

    def put_weights(self, weights: NDArray[np.float32]) -> str:
        """Keep flat float32 weights durably and return their hash."""
        flat = np.ascontiguousarray(weights, dtype="<f4")
        digest = sha256_hex(flat.view(np.uint8).data)
        if not (self.folder("weights") / f"{digest}.safetensors").exists():
            data = save_tensors({"weights": flat})
            self.write_file("weights", f"{digest}.safetensors", data)
        return digest

    def weights(self, sha256: str) -> NDArray[np.float32]:
        """Return weights by their hash.

        Raises
        ------
        UnknownNameError
            The store has no such weights.
        """
        path = self.folder("weights") / f"{sha256}.safetensors"
        if not (sha256.isalnum() and path.is_file()):
            known = (p.stem for p in self.folder("weights").glob("*.safetensors"))
            raise UnknownNameError("weights", sha256, known)
        return np.asarray(load_tensors(path.read_bytes())["weights"], np.float32)

    def file_request(self, body: bytes, signature: bytes) -> None:
        """Keep a request; the same one is kept once."""
        with self.transaction() as database:
            database.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (sha256_hex(body), body, signature, time.time()),
            )

    def request(self, contract: str) -> bytes:
        """Return the canonical bytes of a request by its hash.

        Raises
        ------
        UnknownNameError
            No such request was kept.
        """
        row = self.database.execute(
            "SELECT body FROM requests WHERE contract = ?", (contract,)
        ).fetchone()
        if row is None:
            known = (sha256_hex(line.contract) for line in self.requests())
            raise UnknownNameError("request", contract, known)
        return bytes(row[0])

    def requests(self) -> tuple[RequestLine, ...]:
        """Return all requests, newest first."""
        rows = self.database.execute(
            "SELECT body, signature, created FROM requests "
            "ORDER BY created DESC, rowid DESC"
        )
        return tuple(RequestLine(*row) for row in rows)

    def create_run(
        self, run: str, contract: str, body: bytes, signature: bytes
    ) -> None:
        """Store a new run, its status ``"created"``."""
        now = time.time()
        with self.transaction() as database:
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, 'created', 0, NULL, ?, ?)",
                (run, contract, body, signature, now, now),
            )

    def find_run(self, run: str) -> StoredRun:
        """Return a run.

        Raises
        ------
        UnknownNameError
            There is no such run.
        """
        row = self.database.execute(
            "SELECT * FROM runs WHERE run = ?", (run,)
        ).fetchone()
        if row is None:
            raise UnknownNameError("run", run, (r.run for r in self.runs()))
        return _stored(row)

    def run_of(self, contract: str) -> StoredRun | None:
        """Return the run of a contract, or None."""
        row = self.database.execute(
            "SELECT * FROM runs WHERE contract = ?", (contract,)
        ).fetchone()
        return _stored(row) if row else None

    def runs(self) -> tuple[StoredRun, ...]:
        """Return all runs, newest first."""
        rows = self.database.execute("SELECT * FROM runs ORDER BY created DESC")
        return tuple(_stored(row) for row in rows)

    def set_status(
        self,
        run: str,
        status: RunStatus,
        *,
        event: Event,
        step: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        """Change a run's status and record the event, in one transaction."""
        packed = msgspec.msgpack.encode(fault) if fault else None
        with self.transaction() as database:
            database.execute(
                "UPDATE runs SET status = ?, fault = ?, updated = ?, "
                "step = COALESCE(?, step) WHERE run = ?",
                (status, packed, time.time(), step, run),
            )
            _insert_event(database, run, event)

    def finish_round(self, record: RoundRecord, event: Event) -> None:
        """Store a finished round, its checkpoint and its event, in one transaction."""
        place = (record.run, record.step, record.line.round)
        inline: bytes | None = None
        path = ""
        if record.state is not None:
            data = save_once(record.state)
            if data.nbytes <= INLINE_BYTES:
                inline = data.tobytes()
            else:
                name = f"{record.run}-{record.step}-{record.line.round % 2}"
                path = str(self.write_file("checkpoints", name, data))
        total = None if record.total is None else _pack(record.total)
        with self.transaction() as database:
            database.execute(
                "INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *place,
                    msgspec.msgpack.encode(record.line),
                    total,
                    msgspec.msgpack.encode(record.releases),
                    msgspec.msgpack.encode(record.relay),
                ),
            )
            if record.state is not None:
                database.execute(
                    "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT (run, step) DO UPDATE SET round = excluded.round, "
                    "state = excluded.state, path = excluded.path",
                    (*place, inline, path),
                )
            database.execute(
                "UPDATE runs SET updated = ?, step = ? WHERE run = ?",
                (time.time(), record.step, record.run),
            )
            _insert_event(database, record.run, event)

    def checkpoint(self, run: str, step: int) -> tuple[int, Vectors] | None:
        """Return a step's newest checkpoint: its round and the strategy's arrays."""
        row = self.database.execute(
            "SELECT round, state, path FROM checkpoints WHERE run = ? AND step = ?",
            (run, step),
        ).fetchone()
        if row is None:
            return None
        data = bytes(row[1]) if row[1] is not None else Path(row[2]).read_bytes()
        return int(row[0]), load_tensors(data)

    def next_attempt(self, run: str) -> int:
        """Return a number that grows each time the run is started or resumed.

        Rounds are asked under it: a round that was cut off is asked anew under another
        attempt, with fresh masks.
        """
        with self.transaction() as database:
            row = database.execute(
                "INSERT INTO attempts VALUES (?, 0) ON CONFLICT (run) "
                "DO UPDATE SET attempt = attempt + 1 RETURNING attempt",
                (run,),
            ).fetchone()
        return int(row[0])

    def rounds(self, run: str, step: int) -> tuple[RoundLine, ...]:
        """Return the finished rounds of a step, in order."""
        rows = self.database.execute(
            "SELECT line FROM rounds WHERE run = ? AND step = ? ORDER BY round",
            (run, step),
        )
        return tuple(msgspec.msgpack.decode(r, type=RoundLine) for (r,) in rows)

    def totals(self, run: str, step: int) -> tuple[NDArray[np.float64], ...]:
        """Return the totals of a step's finished rounds, in order."""
        rows = self.database.execute(
            "SELECT total FROM rounds WHERE run = ? AND step = ? AND total IS NOT NULL "
            "ORDER BY round",
            (run, step),
        )
        return tuple(np.frombuffer(total, dtype="<f8") for (total,) in rows)

    def relay(self, run: str, step: int, round_: int) -> tuple[Output, ...]:
        """Return the signed outputs of a finished round, to be relayed."""
        row = self.database.execute(
            "SELECT relay FROM rounds WHERE run = ? AND step = ? AND round = ?",
            (run, step, round_),
        ).fetchone()
        if row is None:
            return ()
        return tuple(msgspec.msgpack.decode(row[0], type=list[Output]))

    def releases(self, run: str, step: int) -> tuple[ReleaseLine, ...]:
        """Return every output that left a site for a step, in order."""
        rows = self.database.execute(
            "SELECT releases FROM rounds WHERE run = ? AND step = ? ORDER BY round",
            (run, step),
        )
        found: list[ReleaseLine] = []
        for (packed,) in rows:
            found += msgspec.msgpack.decode(packed, type=list[ReleaseLine])
        return tuple(found)

    def put_artefact(self, run: str, step: int, sha256: str) -> None:
        """Record the weights that a step trained."""
        with self.transaction() as database:
            database.execute(
                "INSERT INTO artefacts VALUES (?, ?, ?) ON CONFLICT (run, step) "
                "DO UPDATE SET sha256 = excluded.sha256",
                (run, step, sha256),
            )

    def artefact(self, run: str, step: int) -> str:
        """Return the hash of the weights that a step trained, or nothing."""
        row = self.database.execute(
            "SELECT sha256 FROM artefacts WHERE run = ? AND step = ?", (run, step)
        ).fetchone()
        return str(row[0]) if row else ""

    def events(self, run: str, since: int) -> tuple[Event, ...]:
        """Return the events of a run with numbers above `since`."""
        rows = self.database.execute(
            "SELECT seq, event FROM events WHERE run = ? AND seq > ? ORDER BY seq",
            (run, since),
        ).fetchall()
        return tuple(
            msgspec.structs.replace(msgspec.msgpack.decode(e, type=Event), seq=seq)
            for seq, e in rows
        )


def is_final(status: RunStatus) -> bool:
    """Whether a run with this status never moves again."""
    return status in FINAL


def packed_totals(totals: tuple[NDArray[np.float64], ...]) -> tuple[Array, ...]:
    """Return totals as records."""
    return tuple(pack(total) for total in totals)


def _insert_event(database: sqlite3.Connection, run: str, event: Event) -> None:
    database.execute(
        "INSERT INTO events SELECT ?, COALESCE(MAX(seq), 0) + 1, ? FROM events "
        "WHERE run = ?",
        (run, msgspec.msgpack.encode(event), run),
    )


def _pack(total: NDArray[np.float64]) -> bytes:
    return np.ascontiguousarray(total, dtype="<f8").tobytes()


def _stored(row: tuple[Any, ...]) -> StoredRun:
    fault = msgspec.msgpack.decode(row[6], type=Fault) if row[6] else None
    return StoredRun(row[0], row[1], row[2], row[3], row[4], row[5], fault, *row[7:])

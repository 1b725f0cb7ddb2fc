"""Mutated messages at a site's door: no crash, no release, one shape of refusal."""

from __future__ import annotations

import copy
import random
import struct
import tracemalloc

import msgspec
import pytest
from clinics import federate
from counterparty import approved, drafted, head_call, propose, query

from fednb.config import MAX_MESSAGE_BYTES, PROTOCOL_FRAME_BYTES, PROTOCOL_VERSION
from fednb.errors import WireError
from fednb.records.base import canonical
from fednb.records.heads import LogisticPlan
from fednb.records.messages import (
    AskStatus,
    Browse,
    Collect,
    FetchMock,
    Ping,
    Propose,
    Publication,
    Refusal,
    Release,
    State,
    StopRun,
)
from fednb.records.specs import SplitSpec
from fednb.wire.codec import decode_ask, decode_reply, encode

HEADER = struct.Struct("<3sBQ")
SITE = "a"
HEAD = LogisticPlan(
    target="death",
    covariates=("age",),
    split=SplitSpec(train=1.0, validation=0.0, test=0.0),
    fit_on="train",
    evaluate_on="none",
)
STRANGE = (
    None,
    True,
    -1,
    0,
    2**63,
    -(2**63),
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"),
    b"",
    b"\x00" * 5000,
    [],
    {},
    [[[[[[]]]]]],
    {"type": "Ping"},
    msgspec.msgpack.Ext(1, b"x"),
    msgspec.msgpack.Ext(-1, b"\xff" * 12),
)
LONG = (0xC6, 0xDB, 0xDD, 0xDF, 0xC9)
"""msgpack's bin, str, array, map and extension with four bytes of length."""


class Fuzzer:
    """Changes valid messages so that hardly one of them stays valid."""

    def __init__(self, seeds: list[bytes], seed: int) -> None:
        self._seeds = seeds
        self._random = random.Random(seed)  # noqa: S311 (no secret)
        self._kinds = (
            self._flip,
            self._truncate,
            self._insert,
            self._splice,
            self._confuse,
            self._announce,
            self._header,
            self._nest,
        )

    def message(self) -> bytes:
        change = self._random.choice(self._kinds)
        return change(self._random.choice(self._seeds))

    def _flip(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        for _ in range(self._random.randint(1, 8)):
            place = self._random.randrange(len(changed))
            changed[place] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _truncate(self, frame: bytes) -> bytes:
        cut = frame[: self._random.randrange(len(frame))]
        if len(cut) > HEADER.size and self._random.random() < 0.5:
            return framed(cut[HEADER.size :])
        return cut

    def _insert(self, frame: bytes) -> bytes:
        place = self._random.randrange(len(frame))
        more = self._random.randbytes(self._random.randint(1, 64))
        body = frame[:place] + more + frame[place:]
        return framed(body[HEADER.size :]) if self._random.random() < 0.5 else body

    def _splice(self, frame: bytes) -> bytes:
        other = self._random.choice(self._seeds)
        body, rest = frame[HEADER.size :], other[HEADER.size :]
        left = body[: self._random.randrange(len(body))]
        return framed(left + rest[self._random.randrange(len(rest)) :])

    def _confuse(self, frame: bytes) -> bytes:
        """Put a value of another type, or another field, somewhere in the record."""
        record = msgspec.msgpack.decode(frame[HEADER.size :])
        for _ in range(self._random.randint(1, 3)):
            self._replace(record)
        return framed(msgspec.msgpack.encode(record))

    def _replace(self, node: dict) -> None:
        key = self._random.choice([*node, "more", "type"])
        inside = node.get(key)
        if isinstance(inside, list) and inside and isinstance(inside[0], dict):
            inside = self._random.choice(inside)
        if isinstance(inside, dict) and inside and self._random.random() < 0.8:
            self._replace(inside)
            return
        node[key] = copy.deepcopy(self._random.choice(STRANGE))

    def _announce(self, frame: bytes) -> bytes:
        """Announce up to four gigabytes in a message of some bytes."""
        body = bytearray(frame[HEADER.size :])
        place = self._random.randrange(len(body))
        size = self._random.choice((2**32 - 1, 2**31, 2**30, 2**20))
        body[place : place + 5] = struct.pack(">BI", self._random.choice(LONG), size)
        return framed(bytes(body))

    def _header(self, frame: bytes) -> bytes:
        magic = self._random.choice((b"FNB", b"FNC", b"\0\0\0"))
        version = self._random.choice((0, PROTOCOL_VERSION, PROTOCOL_VERSION + 1, 255))
        length = self._random.choice((0, 1, 2**63, 2**64 - 1, len(frame)))
        return HEADER.pack(magic, version, length) + frame[HEADER.size :]

    def _nest(self, frame: bytes) -> bytes:
        deep = self._random.choice((b"\x91", b"\x81\xa1a"))
        return framed(frame[HEADER.size :][:1] + deep * self._random.randint(1, 20_000))


def framed(body: bytes) -> bytes:
    return HEADER.pack(b"FNB", PROTOCOL_VERSION, len(body)) + body


class Door:
    """One site with something behind it that may not leave once more."""

    def __init__(self, folder) -> None:
        self.fed = federate(folder)
        self.server = self.fed._servers[SITE]
        # how fast a disk syncs is not what is tested
        self.server._gatekeeper._home.database.execute("PRAGMA synchronous=OFF")
        contract = approved(self.fed, drafted(self.fed))
        waiting = drafted(self.fed, HEAD)
        for site in waiting.sites():
            propose(self.fed, site, waiting)
        answered = query(self.fed, SITE, contract)
        self.recorded = self.server.handle(encode(answered))
        body = canonical(contract)
        relayed = decode_reply(self.recorded).attested()
        asks = (
            Ping(),
            Browse(),
            FetchMock("clinic"),
            Propose(body, self.fed._scientist.sign(body)),
            AskStatus(contract.hash()),
            answered,
            head_call(waiting, SITE, "00" * 8, 0),
            head_call(waiting, SITE, "00" * 8, 1, relayed),
            Collect(answered.id),
            StopRun("11" * 8),
        )
        self.seeds = [encode(ask) for ask in asks]

    def releases(self) -> int:
        """Return how many releases the ledger names; to verify it is for the end."""
        database = self.server._gatekeeper._home.database
        query = "SELECT COUNT(*) FROM ledger WHERE kind = 'release'"
        return database.execute(query).fetchone()[0]

    def largest(self) -> int:
        """Return the size of the largest entry that strangers got into the ledger."""
        database = self.server._gatekeeper._home.database
        query = "SELECT MAX(LENGTH(body)) FROM ledger WHERE kind = 'refusal'"
        return database.execute(query).fetchone()[0]

    def knock(self, frame: bytes) -> None:
        """Send bytes, and assert that what leaves is of the closed list."""
        answer = self.server.handle(frame)
        reply = decode_reply(answer)
        assert reply.site == SITE
        if isinstance(reply, Refusal | State):
            assert len(answer) == PROTOCOL_FRAME_BYTES
        if isinstance(reply, Refusal):
            # somebody foresaw it: neither a bug nor the disk
            assert reply.cause not in {"internal", "storage"}, frame
            return
        if isinstance(reply, State):
            return
        if isinstance(reply, Release):
            assert answer == self.recorded
        else:
            assert isinstance(reply, Publication)


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    made = Door(tmp_path_factory.mktemp("fuzz"))
    with made.fed:
        yield made


def fuzz(door: Door, messages: int, seed: int) -> None:
    before = door.releases()
    fuzzer = Fuzzer(door.seeds, seed)
    for _ in range(messages):
        door.knock(fuzzer.message())
    assert door.releases() == before
    assert door.largest() < 10_000
    for frame in door.seeds:
        door.knock(frame)
    assert isinstance(decode_reply(door.server.handle(encode(Ping()))), State)


def test_five_thousand_mutated_messages(door):
    fuzz(door, 5_000, seed=1)
    door.fed.owner(SITE).ledger.verify()


@pytest.mark.long
def test_a_million_mutated_messages(door):
    for seed in range(100):
        fuzz(door, 10_000, seed=seed + 2)
    # once: to verify the chain after each seed would cost more than the messages
    door.fed.owner(SITE).ledger.verify()


def test_announced_sizes_take_no_memory(door):
    fuzzer = Fuzzer(door.seeds, 7)
    frames = [fuzzer._announce(seed) for seed in door.seeds for _ in range(50)]
    frames += [fuzzer._nest(seed) for seed in door.seeds]
    tracemalloc.start()
    for frame in frames:
        door.knock(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6


def test_a_message_above_the_cap_is_refused_unread(door):
    # pages that nobody reads cost nothing
    frame = bytes(MAX_MESSAGE_BYTES + 1)
    tracemalloc.start()
    door.knock(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
    assert isinstance(decode_reply(door.server.handle(frame)), Refusal)


@pytest.mark.parametrize("limit", [0, 11, 100])
def test_a_cap_holds_to_the_byte(limit):
    frame = encode(Ping())
    with pytest.raises(WireError, match=f"exceeds the limit of {limit}"):
        decode_ask(frame.ljust(limit + 1, b"\0"), limit=limit)

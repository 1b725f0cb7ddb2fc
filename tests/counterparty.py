"""A coordinator written by hand, honest or not: it speaks bytes with the sites."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.coordinator.contracting import Terms, draft
from fednb.records.base import canonical
from fednb.records.messages import Call, Propose, Refusal, Release, State
from fednb.records.outputs import Place
from fednb.records.tasks import QueryPlan, StatisticsPlan
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from fednb.embedded.federation import Federation
    from fednb.owner.ledger import LedgerEntry
    from fednb.records.contracts import Contract

QUERY = StatisticsPlan(("age",), "sex")


def drafted(fed: Federation, plan=QUERY, dataset="clinic", sites=None, **terms):
    """Return a contract that nobody was asked for yet; of a query, a standing one."""
    terms.setdefault("standing", isinstance(plan, QueryPlan))
    asked = Terms(dataset, "to see what happens", **terms)
    cards = fed._cards(dataset, sites)
    return draft(plan, asked, cards, fed._scientist, fed._client.prepare)


def send(fed: Federation, site: str, ask) -> tuple[bytes, object]:
    """Return a site's answer to a message, as bytes and as a record."""
    frame = fed.transport.call(site, encode(ask), timeout=10)
    return frame, decode_reply(frame)


def propose(fed: Federation, site: str, contract: Contract, signature=None):
    """Hand in a contract, signed by the scientist unless told otherwise."""
    body = canonical(contract)
    signature = fed._scientist.sign(body) if signature is None else signature
    return send(fed, site, Propose(body, signature))


def approved(fed: Federation, contract: Contract) -> Contract:
    """Propose a contract everywhere and let every owner approve it."""
    for site in contract.sites():
        reply = propose(fed, site, contract)[1]
        assert isinstance(reply, State)
        if reply.status == "pending":
            fed.owner(site).requests[contract.hash()].approve()
    return contract


def place(contract: Contract, run: str, step=0, round_=0, attempt=0) -> Place:
    """Return a place under a contract."""
    return Place(contract.hash(), step, run, round_, attempt)


def query(fed: Federation, site: str, contract: Contract, plan=QUERY, **changes):
    """Return a signed statistics query under a standing contract."""
    run = changes.pop("run", secrets.token_hex(8))
    body = canonical(plan)
    signed = "\x1f".join(("fednb-query", contract.hash(), run)).encode()
    fields = {
        "id": f"{run}.{site}",
        "place": place(contract, run),
        "query": body,
        "query_signature": fed._scientist.sign(signed + b"\x1f" + body),
        **changes,
    }
    return Call(**fields)


def ledger(fed: Federation, site: str) -> tuple[LedgerEntry, ...]:
    """Return a site's ledger after checking its chain, oldest first."""
    owner = fed.owner(site)
    owner.ledger.verify()
    return tuple(sorted(owner.ledger.entries, key=lambda entry: entry.seq))


def releases(fed: Federation, site: str) -> int:
    """Return how many releases a site's ledger names."""
    return sum(entry.kind == "release" for entry in ledger(fed, site))


def refused(fed: Federation, site: str, ask, cause: str) -> str:
    """Send what must be refused, and return the reason in the site's ledger.

    The requester is told a cause and an id, in a message of one size, and nothing
    else; nothing is released.
    """
    before = releases(fed, site)
    frame, reply = send(fed, site, ask)
    assert isinstance(reply, Refusal), reply
    assert (reply.site, reply.cause) == (site, cause), told(fed, site, reply)
    assert len(frame) == PROTOCOL_FRAME_BYTES
    assert releases(fed, site) == before
    return told(fed, site, reply)


def told(fed: Federation, site: str, reply: Refusal) -> str:
    """Return what the owner reads under a refusal's id."""
    return fed.owner(site).ledger.find(reply.correlation).reason


def released(fed: Federation, site: str, ask) -> tuple[bytes, Release]:
    """Send what must be answered."""
    frame, reply = send(fed, site, ask)
    assert isinstance(reply, Release), told(fed, site, reply)
    return frame, reply


def head_call(contract: Contract, site: str, run: str, round_: int, parts=(), **more):
    """Return a call of a head's round to a site, relaying the round before."""
    attempt = more.pop("attempt", 0)
    where = place(contract, run, 0, round_, attempt)
    name = f"{run}.{round_}.{attempt}.{site}"
    return Call(name, where, relayed=tuple(parts), **more)


def head_round(fed: Federation, contract: Contract, run: str, round_: int, parts=()):
    """Ask all sites for a round of a head and return their signed outputs."""
    found = []
    for site in contract.sites():
        ask = head_call(contract, site, run, round_, parts)
        found += released(fed, site, ask)[1].attested()
    return tuple(found)

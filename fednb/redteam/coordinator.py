"""A hostile coordinator: a key of its own, and whatever crosses the wire."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from fednb.coordinator.contracting import Scientist, Terms, draft
from fednb.errors import PlanError
from fednb.privacy.pool import total
from fednb.records.arrays import unpack
from fednb.records.base import canonical
from fednb.records.datasets import DatasetCard
from fednb.records.messages import (
    Browse,
    Call,
    Propose,
    Publication,
    Refusal,
    Release,
    State,
)
from fednb.records.outputs import Place
from fednb.records.tasks import QueryPlan
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.messages import Ask, Reply
    from fednb.records.outputs import Output
    from fednb.records.service import Prepare, Prepared
    from fednb.records.specs import Plan
    from fednb.wire.transport import Transport

    Floats = NDArray[np.float64]

SECONDS: Final = 10.0


class HostileCoordinator:
    """Speaks bytes with sites, and keeps to no rule but theirs.

    Parameters
    ----------
    transport
        The wire. Nothing else of the federation is known here.
    folder
        Where the key is kept.
    """

    def __init__(self, transport: Transport, folder: Path) -> None:
        self._transport = transport
        folder.mkdir(parents=True)
        self.scientist = Scientist(folder, "mallory")

    def send(self, site: str, ask: Ask) -> Reply:
        """Return a site's answer to a message."""
        frame = self._transport.call(site, encode(ask), timeout=SECONDS)
        return decode_reply(frame)

    def cards(self, dataset: str, sites: Sequence[str]) -> dict[str, DatasetCard]:
        """Return the cards that the sites publish, by site."""
        found = {}
        for site in sites:
            reply = self.send(site, Browse())
            bodies = reply.bodies if isinstance(reply, Publication) else ()
            for body in bodies:
                card = msgspec.json.decode(body, type=DatasetCard)
                if card.dataset == dataset:
                    found[site] = card
        return found

    def contract(
        self,
        plan: Plan,
        sites: Sequence[str],
        *,
        dataset: str = "clinic",
        **terms: Any,  # noqa: ANN401
    ) -> Contract:
        """Return a contract as an honest scientist would draft it.

        What can be asked without a run is, under a standing contract.
        """
        terms.setdefault("standing", isinstance(plan, QueryPlan))
        asked = Terms(dataset, "to see what happens", **terms)
        cards = self.cards(dataset, sites)
        return draft(plan, asked, cards, self.scientist, _no_network)

    def propose(
        self, site: str, contract: Contract, signature: bytes | None = None
    ) -> Reply:
        """Hand in a contract, signed by this key unless told otherwise."""
        body = canonical(contract)
        signed = self.scientist.sign(body) if signature is None else signature
        return self.send(site, Propose(body, signed))

    def obtain(self, contract: Contract) -> bool:
        """Propose a contract everywhere, and return whether every site approved."""
        replies = [self.propose(site, contract) for site in contract.sites()]
        return all(isinstance(r, State) and r.status == "approved" for r in replies)

    def query(
        self,
        site: str,
        contract: Contract,
        plan: Plan,
        *,
        run: str = "",
        name: str = "",
    ) -> Call:
        """Return a signed query under a standing contract."""
        run = run or secrets.token_hex(8)
        body = canonical(plan)
        signed = "\x1f".join(("fednb-query", contract.hash(), run)).encode()
        return Call(
            name or f"{run}.{site}",
            Place(contract.hash(), 0, run, 0, 0),
            query=body,
            query_signature=self.scientist.sign(signed + b"\x1f" + body),
        )

    def ask_all(self, contract: Contract, plan: Plan) -> Floats | None:
        """Return the sum of a query over the participants; None where one refused."""
        run = secrets.token_hex(8)
        outputs: list[Output] = []
        for site in contract.sites():
            reply = self.send(site, self.query(site, contract, plan, run=run))
            if not isinstance(reply, Release):
                return None
            outputs += reply.attested()
        return total(outputs, contract.sites(), training=False)

    def round(
        self,
        contract: Contract,
        run: str,
        round_: int,
        parts: tuple[Output, ...] = (),
        **more: Any,  # noqa: ANN401
    ) -> tuple[Output, ...]:
        """Return all parts of a head's round; nothing where a site refused."""
        outputs: list[Output] = []
        for site in contract.sites():
            name = f"{run}.{round_}.{site}"
            place = Place(contract.hash(), 0, run, round_, 0)
            reply = self.send(site, Call(name, place, relayed=parts, **more))
            if not isinstance(reply, Release):
                return ()
            outputs += reply.attested()
        return tuple(outputs)

    def fit(self, contract: Contract, rounds: int, **more: Any) -> list[Floats]:  # noqa: ANN401
        """Return the totals of the first rounds of a head, as many as were answered."""
        run = secrets.token_hex(8)
        parts: tuple[Output, ...] = ()
        found: list[Floats] = []
        for round_ in range(rounds):
            parts = self.round(contract, run, round_, parts, **more)
            if not parts:
                break
            found.append(total(parts, contract.sites(), training=False))
        return found


def plain(output: Output) -> Floats:
    """Return one site's part as if it were not masked: in units of the ring's step."""
    raw = np.asarray(unpack(output.data))
    signed = raw.view(f"<i{raw.dtype.itemsize}") if raw.dtype.kind == "u" else raw
    return np.asarray(signed, dtype=np.float64) * 2.0**-30


def refused(reply: Reply) -> bool:
    """Whether a site said no."""
    return isinstance(reply, Refusal)


def _no_network(ask: Prepare) -> Prepared:
    message = f"The red team brings its own weights; {ask} was asked for."
    raise PlanError(message)

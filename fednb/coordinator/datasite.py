"""A site as the coordinator and the notebook see it: messages, and its datasets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

import msgspec
from typing_extensions import override

from fednb.coordinator.mockdata import MockData
from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import (
    InputError,
    IntegrityError,
    RefusedError,
    UnknownNameError,
    VersionError,
    WireError,
)
from fednb.privacy.signatures import signature_holds
from fednb.records.datasets import DatasetCard
from fednb.records.keys import digits_of, key_fingerprint
from fednb.records.messages import (
    Ask,
    AskStatus,
    Browse,
    FetchMock,
    Ping,
    Propose,
    Publication,
    Refusal,
    Reply,
    Standing,
    State,
)
from fednb.wire.codec import decode_reply, encode

if TYPE_CHECKING:
    from fednb.coordinator.mockdata import DryRunner
    from fednb.display.html import Html

_DATASET_HEADERS = ("dataset", "subjects", "modalities", "summary")
_COLUMN_HEADERS = ("column", "kind", "unit", "values", "description")

R = TypeVar("R", bound=Reply)


@dataclass(frozen=True, repr=False)
class DatasetProxy(Shown):
    """A dataset at a site: card and mock; the data stay where they are.

    Attributes
    ----------
    card
        What the owner publishes.
    site
        The site.
    """

    card: DatasetCard
    site: DatasiteProxy

    @property
    def name(self) -> str:
        """Name of the dataset."""
        return self.card.dataset

    @property
    def mock(self) -> MockData:
        """The mock half: look at it, and try plans on it."""
        files = self.site.mock_files(self.card.dataset)
        return MockData(self.card, files, self.site.dry_runner)

    @property
    def data(self) -> NoReturn:
        """The private half, which no scientist ever gets.

        Raises
        ------
        InputError
            Always; says what to do instead.
        """
        message = (
            f"The data of {self.card.dataset!r} never leave {self.card.site}. Look at "
            ".mock and .card, ask fed.statistics(...), or request a plan."
        )
        raise InputError(message)

    def _facts(self) -> list[tuple[str, object]]:
        card = self.card
        return [
            ("Dataset", card.dataset),
            ("Site", card.site),
            ("Summary", card.summary),
            ("Subjects", card.subjects or "below the threshold"),
            ("Modalities", ", ".join(card.modalities)),
            ("Profile", card.profile),
            ("GPUs", ", ".join(card.gpus) or "none"),
            ("Terms", card.terms),
        ]

    def _columns(self) -> list[tuple[object, ...]]:
        return [
            (c.name, c.kind, c.unit, self.card.counts.get(c.name, 0), c.description)
            for c in self.card.columns
        ]

    def _text(self) -> str:
        columns = text.table(_COLUMN_HEADERS, self._columns())
        return f"{text.fields(self._facts())}\n{columns}"

    def _html(self) -> Html:
        facts = html.definition_list(self._facts())
        return html.join([facts, html.table(_COLUMN_HEADERS, self._columns())])


class Datasets(Mapping[str, DatasetProxy], Shown):
    """The datasets of a site, by name.

    Parameters
    ----------
    found
        Proxies by name.
    """

    def __init__(self, found: dict[str, DatasetProxy]) -> None:
        self._found = found

    @override
    def __getitem__(self, name: str) -> DatasetProxy:
        if name not in self._found:
            kind = "dataset"
            raise UnknownNameError(kind, name, self._found)
        return self._found[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    @override
    def __len__(self) -> int:
        return len(self._found)

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (d.name, d.card.subjects, ", ".join(d.card.modalities), d.card.summary)
            for d in self._found.values()
        ]

    def _text(self) -> str:
        return text.table(_DATASET_HEADERS, self._rows())

    def _html(self) -> Html:
        return html.table(_DATASET_HEADERS, self._rows())


@dataclass(repr=False)
class DatasiteProxy(Shown):
    """Speaks with one site.

    Attributes
    ----------
    name
        Name of the site.
    send
        Carries a frame to the site and its answer back.
    seen
        Unix time of the last answer; 0: never.
    dry_runner
        Runs plans on mock data; None where the federation is not embedded.
    """

    name: str
    send: Callable[[bytes], bytes]
    seen: float = 0.0
    dry_runner: DryRunner | None = None
    _key: str = ""

    def ask(self, ask: Ask) -> Reply:
        """Send a message and return the site's answer.

        Raises
        ------
        RefusedError
            The site said no.
        SiteDownError
            The site cannot be reached.
        WireError
            The answer could not be read, or is another site's.
        VersionError
            The site runs another version of fednb.
        """
        try:
            reply = decode_reply(self.send(encode(ask)))
        except VersionError as error:
            message = f"{self.name} runs another version of fednb. {error}"
            raise VersionError(message) from error
        self.seen = time.time()
        if reply.site != self.name:
            message = f"The answer of {self.name} bears the name {reply.site!r}."
            raise WireError(message)
        if isinstance(reply, Refusal):
            told = (reply.cause, reply.correlation, reply.fault)
            raise RefusedError(self.name, *told)
        return reply

    @property
    def datasets(self) -> Datasets:
        """The datasets that the owner publishes, by name."""
        return Datasets({c.dataset: DatasetProxy(c, self) for c in self.cards()})

    def ping(self) -> State:
        """Return a heartbeat."""
        return self._answer(Ping(), State)

    def propose(self, body: bytes, signature: bytes) -> Standing:
        """Hand in a contract and return where it stands."""
        return self._answer(Propose(body, signature), State).status

    def status(self, contract: str) -> Standing:
        """Return where a contract stands at the site."""
        return self._answer(AskStatus(contract), State).status

    def cards(self) -> tuple[DatasetCard, ...]:
        """Return the cards that the owner publishes, their signatures checked.

        Raises
        ------
        IntegrityError
            A card is not signed by the key that it names, or the key changed: says
            which it was and is, and what to do.
        """
        reply = self._answer(Browse(), Publication)
        cards = []
        for body, signature in zip(reply.bodies, reply.signatures, strict=True):
            card = msgspec.json.decode(body, type=DatasetCard)
            self._key = self._key or card.signing_key
            if card.signing_key != self._key:
                raise self._changed(card.signing_key)
            self._verify(signature, body)
            cards.append(card)
        return tuple(cards)

    def accept_key(self, fingerprint: str) -> None:
        """Trust the key that the site has now, after its owner confirmed it.

        Parameters
        ----------
        fingerprint
            As the owner read it out, by telephone.

        Raises
        ------
        IntegrityError
            The site publishes under another key.
        """
        reply = self._answer(Browse(), Publication)
        cards = [msgspec.json.decode(b, type=DatasetCard) for b in reply.bodies]
        named = {card.signing_key for card in cards}
        wanted = digits_of(fingerprint)
        found = [k for k in named if digits_of(key_fingerprint(k)) == wanted]
        if not found or len(named) != 1:
            shown = "; ".join(sorted(map(key_fingerprint, named))) or "no key"
            message = (
                f"{self.name} publishes under {shown}, not under {fingerprint}. "
                "Nothing was accepted; ask the site owner again."
            )
            raise IntegrityError(message)
        self._key = found[0]

    def _changed(self, now: str) -> IntegrityError:
        fresh = key_fingerprint(now)
        message = (
            f"The key of {self.name} changed: it was {key_fingerprint(self._key)}, it "
            f"is {fresh}. Ask the site owner by telephone. If they changed it, call "
            f'fed[{self.name!r}].accept_key("{fresh}") and request contracts anew: '
            "earlier ones name the old key."
        )
        return IntegrityError(message)

    def mock_files(self, dataset: str) -> dict[str, bytes]:
        """Return the files of a mock half by name, their signatures checked."""
        if not self._key:
            self.cards()
        reply = self._answer(FetchMock(dataset), Publication)
        items = zip(reply.names, reply.bodies, reply.signatures, strict=True)
        files = {}
        for name, body, signature in items:
            self._verify(signature, body)
            files[name] = body
        return files

    def _verify(self, signature: bytes, body: bytes) -> None:
        if not signature_holds(self._key, signature, body):
            message = (
                f"A publication of {self.name} does not bear its signature; its key "
                "may have changed. Ask the site owner."
            )
            raise IntegrityError(message)

    def _answer(self, ask: Ask, kind: type[R]) -> R:
        reply = self.ask(ask)
        if isinstance(reply, kind):
            return reply
        message = (
            f"{self.name} answered a {type(reply).__name__} for a {kind.__name__}."
        )
        raise WireError(message)

    def _facts(self) -> list[tuple[str, object]]:
        return [
            ("Datasite", self.name),
            ("Last heard", text.utc(int(self.seen)) if self.seen else "never"),
        ]

    def _text(self) -> str:
        return text.fields(self._facts())

    def _html(self) -> Html:
        return html.definition_list(self._facts())

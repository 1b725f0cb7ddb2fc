"""A site as the coordinator and the notebook see it: messages, and its datasets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import msgspec
from typing_extensions import override

from fednb.coordinator.mockdata import MockData
from fednb.coordinator.site_link import SiteLink
from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.display.named import Named
from fednb.errors import InputError, IntegrityError, WireError
from fednb.privacy.signatures import signature_holds
from fednb.records.datasets import Column, DatasetCard
from fednb.records.keys import digits_of, site_fingerprint
from fednb.records.messages import Browse, FetchMock, Publication

if TYPE_CHECKING:
    from fednb.coordinator.known_sites import KnownSites
    from fednb.coordinator.mockdata import DryRunner
    from fednb.display.html import Html

_COLUMN_HEADERS = ("column", "kind", "unit", "range", "values", "description")
_LEVELS = 8
"""Labels of a column that are named; the card has all."""


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
        counts = self.card.counts
        return [
            (c.name, c.kind, c.unit, _range(c), counts.get(c.name, 0), c.description)
            for c in self.card.columns
        ]

    def _text(self) -> str:
        columns = text.table(_COLUMN_HEADERS, self._columns())
        return f"{text.fields(self._facts())}\n{columns}"

    def _html(self) -> Html:
        facts = html.definition_list(self._facts())
        return html.join([facts, html.table(_COLUMN_HEADERS, self._columns())])


def _range(column: Column) -> str:
    """Return what a plan may expect in a column: bounds, or labels."""
    if column.kind == "binary":
        return "0, 1"
    if column.kind == "number":
        return f"{column.lower:g} to {column.upper:g}"
    more = ", ..." if len(column.levels) > _LEVELS else ""
    return ", ".join(column.levels[:_LEVELS]) + more


class Datasets(Named[DatasetProxy]):
    """The datasets of a site, by name."""

    kind = "dataset"
    headers = ("dataset", "subjects", "modalities", "summary")

    @override
    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (d.name, d.card.subjects, ", ".join(d.card.modalities), d.card.summary)
            for d in self.values()
        ]


@dataclass(repr=False)
class DatasiteProxy(SiteLink, Shown):
    """A site as a scientist speaks with it: what it publishes bears its signature.

    Attributes
    ----------
    known
        Keys of sites that the scientist trusts.
    dry_runner
        Runs plans on mock data; None where the federation is not embedded.
    """

    known: KnownSites = field(kw_only=True)
    dry_runner: DryRunner | None = None
    _key: str = ""

    @property
    def datasets(self) -> Datasets:
        """The datasets that the owner publishes, by name."""
        return Datasets({c.dataset: DatasetProxy(c, self) for c in self.cards()})

    def cards(self) -> tuple[DatasetCard, ...]:
        """Return the cards that the owner publishes, their signatures checked.

        Raises
        ------
        IntegrityError
            A card is not signed by the key that it names, or the site's keys are not
            those that the scientist trusts: says which they were and are, and what to
            do.
        WireError
            A card cannot be read.
        """
        reply = self.answer(Browse(), Publication)
        cards = []
        for body, signature in zip(reply.bodies, reply.signatures, strict=True):
            card = self._card(body)
            mark = site_fingerprint(card.signing_key, card.agreement_key)
            trusted = self.known.first(self.name, mark)
            if trusted != mark:
                raise self._changed(trusted, mark)
            self._key = card.signing_key
            self._verify(signature, body)
            cards.append(card)
        return tuple(cards)

    def accept_key(self, fingerprint: str) -> None:
        """Trust the keys that the site has now, after its owner confirmed them.

        They are trusted in later notebooks, too.

        Parameters
        ----------
        fingerprint
            As the owner read it out, by telephone.

        Raises
        ------
        IntegrityError
            The site publishes under other keys.
        """
        reply = self.answer(Browse(), Publication)
        cards = [self._card(body) for body in reply.bodies]
        named = {
            site_fingerprint(card.signing_key, card.agreement_key) for card in cards
        }
        if len(named) != 1 or set(map(digits_of, named)) != {digits_of(fingerprint)}:
            shown = "; ".join(sorted(named)) or "no keys"
            message = (
                f"{self.name} publishes under {shown}, not under {fingerprint}. "
                "Nothing was accepted; ask the site owner again."
            )
            raise IntegrityError(message, self.name)
        self.known.accept(self.name, named.pop())

    def _card(self, body: bytes) -> DatasetCard:
        try:
            return msgspec.json.decode(body, type=DatasetCard)
        except msgspec.DecodeError as error:
            message = (
                f"A card of {self.name} cannot be read: {error}. The site may run "
                "another version of fednb; ask the site owner."
            )
            raise WireError(message, self.name) from error

    def _changed(self, before: str, now: str) -> IntegrityError:
        message = (
            f"The keys of {self.name} changed: they were {before}, they are {now}. Ask "
            "the site owner by telephone. If they changed them, call "
            f'fed[{self.name!r}].accept_key("{now}") and request contracts anew: '
            "earlier ones name the old keys."
        )
        return IntegrityError(message, self.name)

    def mock_files(self, dataset: str) -> dict[str, bytes]:
        """Return the files of a mock half by name, their signatures checked."""
        if not self._key:
            self.cards()
        reply = self.answer(FetchMock(dataset), Publication)
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
            raise IntegrityError(message, self.name)

    def _facts(self) -> list[tuple[str, object]]:
        return [
            ("Datasite", self.name),
            ("Last heard", text.utc(int(self.seen)) if self.seen else "never"),
        ]

    def _text(self) -> str:
        return text.fields(self._facts())

    def _html(self) -> Html:
        return html.definition_list(self._facts())

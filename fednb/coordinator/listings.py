"""Lists that a scientist looks things up in: datasites, and what they publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.display.named import Named
from fednb.errors import (
    InputError,
    IntegrityError,
    RefusedError,
    SiteDownError,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fednb.coordinator.datasite import DatasetProxy, DatasiteProxy
    from fednb.display.html import Html
    from fednb.records.service import SiteLine


_MAX_REASON: Final = 1000
"""Characters of why a site is not listed: it names two keys and what to do."""
_FOUND_HEADERS: Final = ("site", "dataset", "subjects", "modalities", "summary")


class Sites(Named["DatasiteProxy"]):
    """The datasites, by name.

    Parameters
    ----------
    lines
        How they were when they were asked.
    proxies
        By name.
    """

    kind = "site"
    headers = ("datasite", "state", "last heard")

    def __init__(
        self, lines: Sequence[SiteLine], proxies: Mapping[str, DatasiteProxy]
    ) -> None:
        super().__init__(proxies)
        self.lines = tuple(lines)

    @override
    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (s.site, s.state, text.utc(int(s.seen)) if s.seen else "never")
            for s in self.lines
        ]


class DatasetIndex(Shown):
    """All datasets that the sites publish.

    Parameters
    ----------
    found
        In site-name order.
    away
        Why a site's datasets are not among them, by its name.
    """

    def __init__(
        self, found: Sequence[DatasetProxy], away: Mapping[str, str] | None = None
    ) -> None:
        self._found = tuple(found)
        self.away = dict(away or {})

    @classmethod
    def of(cls, sites: Mapping[str, DatasiteProxy]) -> DatasetIndex:
        """Ask every site what it publishes; one that does not answer is named."""
        found: list[DatasetProxy] = []
        away = {}
        for name, site in sorted(sites.items()):
            try:
                found += site.datasets.values()
            except SiteDownError:
                away[name] = "It cannot be reached now."
            except (RefusedError, WireError, IntegrityError) as error:
                away[name] = str(error)
        return cls(found, away)

    def __iter__(self) -> Iterator[DatasetProxy]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: int | str) -> DatasetProxy:
        if isinstance(index, str):
            message = (
                f"Datasets of several sites are listed by number, not by {index!r}. "
                f"Use fed.datasets.search({index!r}), or fed[site].datasets[{index!r}]."
            )
            raise InputError(message)
        return self._found[index]

    def search(
        self, words: str = "", *, modality: str = "", min_subjects: int = 0
    ) -> DatasetIndex:
        """Return the datasets that match.

        Parameters
        ----------
        words
            Each must occur in the name, summary, terms or a column, in any case.
        modality
            A modality that the dataset has; ``"MR"`` stands for any image.
        min_subjects
            Least number of subjects, by the published rounded count.
        """
        wanted = words.lower().split()

        def matches(dataset: DatasetProxy) -> bool:
            card = dataset.card
            names = " ".join(c.name for c in card.columns)
            body = f"{card.dataset} {card.summary} {card.terms} {names}".lower()
            has = not modality or modality in card.modalities
            has = has or (modality == "MR" and bool(card.modalities))
            return (
                all(word in body for word in wanted)
                and has
                and card.subjects >= min_subjects
            )

        return DatasetIndex([d for d in self._found if matches(d)], self.away)

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                d.card.site,
                d.card.dataset,
                d.card.subjects,
                ", ".join(d.card.modalities),
                d.card.summary,
            )
            for d in self._found
        ]

    def _unlisted(self) -> list[str]:
        """Say whose datasets are not listed, and why; one line a site."""
        return [f"Not listed: {name}. {why}" for name, why in self.away.items()]

    def _text(self) -> str:
        table = text.table(_FOUND_HEADERS, self._rows())
        lines = (text.visible(line, _MAX_REASON) for line in self._unlisted())
        return "\n".join((table, *lines))

    def _html(self) -> Html:
        table = html.table(_FOUND_HEADERS, self._rows())
        if not self.away:
            return table
        lines = [html.escape(line, _MAX_REASON) for line in self._unlisted()]
        return html.element("div", table, *(html.element("p", one) for one in lines))

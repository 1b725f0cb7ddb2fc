"""A handle on embeddings that stay at the sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from fednb.display import html, text
from fednb.errors import InputError
from fednb.results.parts import PooledResult, count_text

if TYPE_CHECKING:
    import pandas as pd

    from fednb.display.html import Html
    from fednb.records.outcomes import Survival
    from fednb.records.specs import EmbeddingRef

_TITLE = "Embeddings, held at the sites"


@dataclass(frozen=True, repr=False, kw_only=True)
class EmbeddingResult(PooledResult):
    """The result of an `EmbeddingPlan`: a name for values that never leave.

    Plans accept it in place of its `ref`.

    Attributes
    ----------
    ref
        The contract and step that made the embeddings, and their width.
    n
        Patients, rounded, over all sites.
    survival
        What the network learned where that is survival: its score is a log hazard.
    """

    ref: EmbeddingRef
    n: int = 0
    survival: Survival | None = None

    @property
    def data(self) -> NoReturn:
        """Embeddings stay at the sites: this always raises.

        Raises
        ------
        InputError
            Always.
        """
        self._refuse()

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        self._refuse()

    def __getitem__(self, key: object) -> NoReturn:
        self._refuse()

    def __iter__(self) -> NoReturn:
        self._refuse()

    def to_frame(self) -> pd.DataFrame:
        """Return one row a site: site and width. The values stay there."""
        import pandas as pd

        rows = [(site, self.ref.width) for site in self.sites]
        return pd.DataFrame(rows, columns=["site", "width"])

    def _refuse(self) -> NoReturn:
        message = (
            f"Embeddings stay at the sites ({', '.join(self.sites)}); there is nothing "
            "to read here. Fit a CoxPlan or LogisticPlan on this result instead."
        )
        raise InputError(message)

    def _facts(self) -> list[tuple[str, object]]:
        return [
            ("Sites", ", ".join(self.sites)),
            ("Patients", count_text(self.n, self.profile)),
            ("Width", self.ref.width),
            ("Made by", f"contract {self.ref.contract[:12]}, step {self.ref.step}"),
        ]

    def _text(self) -> str:
        return self._page_text(_TITLE, text.fields(self._facts(), indent="  "))

    def _html(self) -> Html:
        facts = html.definition_list(self._facts())
        return self._page_html(html.element("h3", _TITLE), facts)

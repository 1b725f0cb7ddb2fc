"""What each requester has spent of each dataset's privacy, as its owner reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.records.keys import key_fingerprint
from fednb.site.budgets import Budget, budgets_of
from fednb.site.policy import read_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.display.html import Html
    from fednb.site.home import Home

_HEADERS = ("dataset", "requester", "epsilon", "of", "charges")


class OwnerBudgets(Shown):
    """Privacy that training has spent, as of when it was looked up.

    Iterates over `fednb.site.budgets.Budget`: a dataset's total over all requesters,
    whose key is empty, then each requester's part.

    Parameters
    ----------
    home
        Of the site; its server may run beside.
    """

    def __init__(self, home: Home) -> None:
        policy = read_policy(home)
        self.max_epsilon = policy.max_epsilon
        self.delta = policy.max_delta
        self._budgets = budgets_of(home, policy.max_delta)

    def __iter__(self) -> Iterator[Budget]:
        return iter(self._budgets)

    def __len__(self) -> int:
        return len(self._budgets)

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                budget.dataset,
                key_fingerprint(budget.requester) if budget.requester else "together",
                f"{budget.epsilon:.3f}",
                f"{self.max_epsilon:g}" if budget.requester else "",
                str(budget.releases),
            )
            for budget in self._budgets
        ]

    def _says(self) -> str:
        if not self._budgets:
            return "Nothing has been spent: no training under differential privacy."
        return (
            f"Epsilon at delta {self.delta:g}, running calls included. The policy's "
            f"max_epsilon caps each requester; who colludes shares what is together."
        )

    def _text(self) -> str:
        if not self._budgets:
            return self._says()
        return f"{self._says()}\n\n{text.table(_HEADERS, self._rows())}"

    def _html(self) -> Html:
        words = html.element("p", self._says())
        if not self._budgets:
            return html.element("div", words)
        return html.element("div", words, html.table(_HEADERS, self._rows()))

"""What a proposed contract changes against the last approved one of its kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fednb.display import html, text
from fednb.display.code import changes_html, code_changes
from fednb.display.hooks import Shown
from fednb.privacy.contract_diff import contract_diff
from fednb.records.carried import codes_in

if TYPE_CHECKING:
    from fednb.display.html import Html
    from fednb.privacy.contract_diff import Change, Effect
    from fednb.records.contracts import Contract
    from fednb.site.approvals import Filed

MAX_CHANGES: Final = 40
"""Changes shown, what loosens first; `ContractChanges.all` has every one."""

_EFFECTS: Final[tuple[Effect, ...]] = ("loosens", "changes", "tightens")
_WORDS: Final = 300
_LINE: Final = 2000


@dataclass(frozen=True, repr=False)
class ContractChanges(Shown):
    """The difference between a contract and the last approved one of its kind.

    Attributes
    ----------
    contract
        That was proposed.
    against
        Approved before for the same requester's key, purpose and dataset; None: none.
    """

    contract: Contract
    against: Filed | None

    @property
    def earlier(self) -> str:
        """Hash of the contract compared with; empty where there is none."""
        return self.against.hash if self.against else ""

    @property
    def all(self) -> tuple[Change, ...]:
        """Every change, what loosens first; empty where there is none."""
        if self.against is None:
            return ()
        return contract_diff(self.against.contract, self.contract)

    @property
    def code(self) -> tuple[str, ...]:
        """Lines in which code of the requester's own differs; see `code_changes`."""
        if self.against is None:
            return ()
        both = (self.against.contract, self.contract)
        before, after = (tuple(codes_in(contract).values()) for contract in both)
        return code_changes(before, after)

    def lines(self) -> tuple[str, ...]:
        """Return a headline and a short line a change, safe to show.

        Empty where no contract of this requester, purpose and dataset was approved.
        """
        if self.against is None:
            return ()
        status = self.against.status
        which = f"{self.against.hash[:12]}, the last approved of its kind"
        which += f" (now {status})" if status != "approved" else ""
        changes = self.all
        if not changes:
            return (f"Asks for the same as {which}, once more.",)
        count = Counter(change.effect for change in changes)
        told = ", ".join(f"{effect} {count[effect]}" for effect in _EFFECTS)
        shown = [text.visible(c.line(), _WORDS) for c in changes[:MAX_CHANGES]]
        rest = len(changes) - MAX_CHANGES
        more = (f"and {rest} more",) if rest > 0 else ()
        return (f"Against {which}: {told}.", *shown, *more)

    def html(self) -> Html | str:
        """Return a titled section without stylesheet; empty where there is none."""
        lines = self.lines()
        if not lines:
            return ""
        listed = [html.element("li", html.escape(line, _WORDS)) for line in lines[1:]]
        rows = html.element("ul", *listed) if listed else ""
        code = changes_html(self.code) if self.code else ""
        return html.section("What is new", html.element("p", lines[0]), rows, code)

    def _text(self) -> str:
        code = [text.visible(line, _LINE) for line in self.code]
        return (
            "\n".join([*self.lines(), *code]) or "No such contract was approved before."
        )

    def _html(self) -> Html:
        return html.element("div", self.html() or self._text())

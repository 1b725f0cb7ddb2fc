"""Things that are looked up by name, and shown as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeVar, overload

from typing_extensions import override

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import UnknownNameError

if TYPE_CHECKING:
    from fednb.display.html import Html

T = TypeVar("T")
D = TypeVar("D")


class Named(Mapping[str, T], Shown):
    """A mapping of which a name that is not in it is told with those that are.

    A subclass names what it holds, and gives a row of the table for each.

    Parameters
    ----------
    found
        By name, in the order in which they are shown.
    """

    kind: ClassVar[str]
    """Of one of them, in the singular."""

    headers: ClassVar[tuple[str, ...]]
    """Of the table's columns."""

    def __init__(self, found: Mapping[str, T]) -> None:
        self._found = dict(found)

    @override
    def __getitem__(self, name: str) -> T:
        """Return one by name.

        Raises
        ------
        UnknownNameError
            There is none of that name; says which there are.
        """
        if name not in self._found:
            raise UnknownNameError(self.kind, name, self._found)
        return self._found[name]

    # those of Mapping wait for a KeyError
    @override
    def __contains__(self, name: object) -> bool:
        return name in self._found

    @overload
    def get(self, name: str, /) -> T | None: ...
    @overload
    def get(self, name: str, /, default: D) -> T | D: ...
    @override
    def get(self, name: str, /, default: D | None = None) -> T | D | None:
        """Return one by name, or something else where there is none."""
        return self._found.get(name, default)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    @override
    def __len__(self) -> int:
        return len(self._found)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._found)

    @abstractmethod
    def _rows(self) -> list[tuple[object, ...]]:
        """Return a row of cells for each."""

    def _heading(self) -> str:
        """Return a line above the table; empty: none."""
        return ""

    def _text(self) -> str:
        table = text.table(self.headers, self._rows())
        return "\n\n".join(filter(None, (self._heading(), table)))

    def _html(self) -> Html:
        table = html.table(self.headers, self._rows())
        if not self._heading():
            return table
        return html.element("div", html.element("p", self._heading()), table)

"""HTML of the display layer as a tree of words, so that a page needs no markup.

A front end builds it with elements and text nodes: not even an error in the escaping
could make a requester's words live there.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Final

from typing_extensions import override

from fednb.display.html import TAGS

Node = str | dict[str, Any]
"""Text, or ``{"tag": ..., "class": ..., "children": [...]}``."""

_SKIPPED: Final = "style"


def tree_of(page: str) -> list[Node]:
    """Return what a builder of `fednb.display.html` made, as nested elements.

    Parameters
    ----------
    page
        HTML. Only elements of the closed list `TAGS` are kept; the stylesheet is left
        out.

    Returns
    -------
    nodes
        Each is text, or an element with its ``tag``, its ``class`` and its
        ``children``. Other attributes are dropped.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.root


class _Reader(HTMLParser):
    """Nests what the parser reports one after the other."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: list[Node] = []
        self._open: list[tuple[str, list[Node]]] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        children: list[Node] = []
        if tag in TAGS:
            kind = dict(attrs).get("class") or ""
            self._inside().append({"tag": tag, "class": kind, "children": children})
        self._open.append((tag, children))

    @override
    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self._open.pop()

    @override
    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1][0] != _SKIPPED:
            self._inside().append(data)

    def _inside(self) -> list[Node]:
        return self._open[-1][1] if self._open else self.root

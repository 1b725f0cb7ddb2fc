"""Strings of somebody who wants more than to be read, and a check of what is shown."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

from fednb.display.html import ATTRIBUTES, TAGS

HOSTILE = (
    "<img src=x onerror=alert(1)>\"'><script>alert(2)</script></style>&lt;b&gt;"
    "\u202etxt.exe\u200f\u2066\x1b[31m\r\n\u00ad$x^2$"
)
"""Markup, quotes, entities, right-to-left marks, a terminal escape, mathematics."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.words += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


def is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def assert_harmless_html(page: str, *, times: int = 1) -> str:
    """Assert that only our elements are live, and return the words that are read."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert set(reader.tags) <= TAGS | {"style"}
    assert reader.attributes <= ATTRIBUTES
    assert reader.tags.count("style") <= 1
    words = " ".join(reader.words)
    assert not [c for c in words if is_invisible(c)]
    assert words.count("<img src=x onerror=alert(1)>\"'>") >= times
    return words


def assert_harmless_text(page: str) -> None:
    assert not [c for c in page if is_invisible(c) and c != "\n"]
    assert "<U+202E>" in page

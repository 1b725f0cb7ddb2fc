"""A requester's code as a site owner reads it: every line, numbered and coloured.

What is shown is what is hashed: the pieces that are coloured make up the text without a
character more or less, characters that do not show are written as code points, and long
lines wrap.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from fednb.display import html, text
from fednb.records.code_check import MAX_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fednb.display.html import Html
    from fednb.records.code import Code

_CLASSES: Final = (
    (Comment, "c-comment"),
    (String, "c-string"),
    (Keyword, "c-keyword"),
    (Operator.Word, "c-keyword"),
    (Number, "c-number"),
    (Name.Class, "c-name"),
    (Name.Function, "c-name"),
    (Name.Decorator, "c-name"),
)
_MOST: Final = 8 * MAX_SOURCE
_CONTEXT: Final = 3

Piece = tuple[str, str]
"""Class of a colour, empty for none, and some characters of one line."""


def pieces(source: str) -> list[list[Piece]]:
    """Return source by line, in pieces to colour; joined they are the source.

    Parameters
    ----------
    source
        Python, or what claims to be.
    """
    lines: list[list[Piece]] = [[]]
    # nothing is normalised: what is approved is what is shown
    for _, token, value in PythonLexer().get_tokens_unprocessed(source):
        colour = next((name for kind, name in _CLASSES if token in kind), "")
        first, *rest = value.split("\n")
        for number, part in enumerate((first, *rest)):
            if number:
                lines.append([])
            if part:
                lines[-1].append((colour, part))
    return lines


def code_html(code: Code) -> Html:
    """Return code in full, with its name, parameters and hash, without stylesheet.

    Parameters
    ----------
    code
        Another party's; every character is escaped.
    """
    lines = pieces(code.source.rstrip("\n"))
    body = [_line(number, line) for number, line in enumerate(lines, 1)]
    return html.element(
        "div",
        html.definition_list(_facts(code)),
        html.element("pre", *body, class_="code"),
        *(html.look(str(problem)) for problem in code.problems),
    )


def code_text(code: Code) -> str:
    """Return code in full as text; see `code_html`."""
    lines = code.source.rstrip("\n").split("\n")
    body = [f"{n:>5}  {text.visible(line, _MOST)}" for n, line in enumerate(lines, 1)]
    told = [f"! {text.visible(problem)}" for problem in code.problems]
    return "\n".join([text.fields(_facts(code)), "", *body, *told])


def code_changes(before: Sequence[Code], after: Sequence[Code]) -> tuple[str, ...]:
    """Return a line for each difference between the code of two contracts.

    Parameters
    ----------
    before, after
        Code in the order of the contracts' steps. Compared by name.

    Returns
    -------
    tuple of str
        As `difflib.unified_diff` writes it, with a headline for each piece of code;
        empty where all is the same. Not escaped yet.
    """
    old = {code.name: code for code in before}
    found: list[str] = []
    for code in after:
        earlier = old.pop(code.name, None)
        if earlier is not None and earlier.source == code.source:
            continue
        source = earlier.source if earlier else ""
        found += _diff(code.name, source, code.source)
    for code in old.values():
        found += _diff(code.name, code.source, "")
    return tuple(found)


def changes_html(lines: Sequence[str]) -> Html:
    """Return the lines of `code_changes` in colours, without stylesheet."""
    rows = [
        html.element("span", _escaped(line), class_=_TONES.get(line[:1], ""))
        if not line.startswith(_HEAD)
        else html.element("strong", _escaped(line))
        for line in lines
    ]
    return html.element("pre", *_with_breaks(rows), class_="code")


_HEAD: Final = "Code "
_TONES: Final = {"+": "c-added", "-": "c-gone", "@": "muted"}


def _with_breaks(rows: Sequence[Html]) -> Iterator[Html]:
    for row in rows:
        yield row
        yield html.Html("\n")


def _diff(name: str, before: str, after: str) -> Iterator[str]:
    """Yield a headline and the lines that differ, with some around them."""
    new, old = after.splitlines(), before.splitlines()
    lines = list(difflib.unified_diff(old, new, n=_CONTEXT, lineterm=""))[2:]
    added = sum(line.startswith("+") for line in lines)
    gone = sum(line.startswith("-") for line in lines)
    yield f"{_HEAD}{name}: {added} lines new, {gone} gone."
    yield from lines


def _facts(code: Code) -> list[tuple[str, str]]:
    given = ", ".join(f"{name}={value!r}" for name, value in code.params.items())
    return [
        ("Code", f"{code.name}({text.visible(given, _MOST)})"),
        ("SHA-256", code.sha256),
        ("Lines", str(code.lines)),
    ]


def _line(number: int, line: Sequence[Piece]) -> Html:
    parts = [
        html.element("span", _escaped(part), class_=colour)
        if colour
        else _escaped(part)
        for colour, part in line
    ]
    margin = html.element("span", f"{number:>4} ", class_="c-margin")
    return html.join([margin, *parts, html.Html("\n")])


def _escaped(part: str) -> Html:
    return html.escape(part, _MOST)

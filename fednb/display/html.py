"""HTML builders in which everything is escaped by construction.

A builder returns `Html`. Any other value that is put into one is escaped, and its
invisible characters are shown as code points. Tags and attributes come from closed
lists without scripts, links, images, styles or handlers. Colours are JupyterLab's theme
variables; elsewhere the page's own colours are inherited, so light and dark both read.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from fednb.display.text import DASH, MAX_CHARACTERS, is_number, visible
from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_ROWS: Final = 50
"""Rows of a table shown; the rest is counted."""

TAGS: Final = frozenset(
    {
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "h2",
        "h3",
        "h4",
        "li",
        "ol",
        "p",
        "pre",
        "section",
        "span",
        "strong",
        "summary",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    }
)
"""The elements that a builder can make."""

ATTRIBUTES: Final = frozenset({"class", "colspan", "id", "open", "scope", "title"})
"""The attributes that a builder can set."""

TONES: Final = {
    "approved": "good",
    "completed": "good",
    "ready": "good",
    "finished": "good",
    "denied": "bad",
    "failed": "bad",
    "revoked": "bad",
    "expired": "bad",
    "stopped": "bad",
    "pending": "wait",
    "working": "wait",
    "running": "wait",
    "paused": "wait",
    "caution": "wait",
}
"""The tone of a badge, by status; any other status is neutral."""

STYLE: Final = """<style>
.fednb{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(
--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit);line-height:1.45;
overflow-x:auto}
.fednb h2,.fednb h3,.fednb h4{margin:.6em 0 .3em;font-weight:600;color:inherit}
.fednb h2{font-size:1.3em}.fednb h3{font-size:1.1em}.fednb h4{font-size:1em}
.fednb p{margin:.3em 0}
.fednb table{border-collapse:collapse;margin:.3em 0;border:0;color:inherit}
.fednb caption{text-align:left;font-weight:600;padding:.2em 0}
.fednb.fednb th,.fednb.fednb td{padding:.2em .7em;text-align:left;vertical-align:top;
border:0;border-bottom:1px solid var(--jp-border-color2,rgba(128,128,128,.35));
background:transparent;color:inherit;overflow-wrap:anywhere}
.fednb th{font-weight:600;overflow-wrap:normal}.fednb td:not(.num){min-width:4.5em}
.fednb.fednb .num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.fednb .best{font-weight:700;background:var(--jp-layout-color2,rgba(128,128,128,.18))}
.fednb dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1em;
margin:.3em 0}
.fednb dt,.fednb dd{width:auto;float:none;margin:0}
.fednb dt{font-weight:600}.fednb dd{overflow-wrap:anywhere}
.fednb code{font-family:var(--jp-code-font-family,monospace);background:transparent;
color:inherit;overflow-wrap:anywhere}
.fednb .muted{color:var(--jp-ui-font-color2,inherit)}
.fednb .badge{display:inline-block;padding:0 .6em;border-radius:1em;border:1px solid
currentColor;font-size:.9em;color:inherit}
.fednb .badge::before{content:"";display:inline-block;width:.6em;height:.6em;
border-radius:50%;margin-right:.4em;background:var(--jp-ui-font-color3,#888)}
.fednb .good::before{background:var(--jp-success-color1,#388e3c)}
.fednb .bad::before{background:var(--jp-error-color1,#d32f2f)}
.fednb .wait::before{background:var(--jp-warn-color1,#f57c00)}
.fednb summary{cursor:pointer}
.fednb pre.code{font-family:var(--jp-code-font-family,monospace);background:
transparent;color:inherit;white-space:pre-wrap;overflow-wrap:anywhere;margin:.3em 0}
.fednb .c-margin{color:var(--jp-ui-font-color3,#888);user-select:none}
.fednb .c-keyword{color:var(--jp-mirror-editor-keyword-color,inherit);font-weight:600}
.fednb .c-string{color:var(--jp-mirror-editor-string-color,#a31515)}
.fednb .c-comment{color:var(--jp-mirror-editor-comment-color,#777);font-style:italic}
.fednb .c-number{color:var(--jp-mirror-editor-number-color,#098658)}
.fednb .c-name{color:var(--jp-mirror-editor-def-color,inherit);font-weight:600}
.fednb .c-added{color:var(--jp-success-color1,#388e3c)}
.fednb .c-gone{color:var(--jp-error-color1,#d32f2f)}
</style>"""
"""One stylesheet, scoped to the class ``fednb``.

The class is named twice where JupyterLab's rules for tables would win otherwise: they
put text to the right.
"""


class Html(str):
    """HTML that was built here: safe to insert as it is.

    Joining or formatting it gives a plain string, which is escaped when it is inserted
    again: a mistake shows as visible markup and never as live markup.
    """

    __slots__ = ()


def escape(value: object, limit: int = MAX_CHARACTERS) -> Html:
    """Return `value` as HTML text; `Html` is returned as it is.

    Parameters
    ----------
    value
        Anything; None is shown as a dash.
    limit
        Characters shown; what follows is counted.
    """
    if isinstance(value, Html):
        return value
    text = DASH if value is None else visible(value, limit)
    return Html(html.escape(text))


def join(parts: Iterable[object]) -> Html:
    """Return the parts one after the other, each escaped."""
    return Html("".join(map(escape, parts)))


def element(tag: str, *children: object, **attributes: str) -> Html:
    """Return an element of the closed list `TAGS`.

    Parameters
    ----------
    tag
        One of `TAGS`.
    children
        Escaped unless they are `Html`.
    attributes
        Names in `ATTRIBUTES`; ``class_`` stands for ``class``. Values are escaped.

    Raises
    ------
    InputError
        The tag or an attribute is not in its list.
    """
    names = {name.rstrip("_"): value for name, value in attributes.items()}
    refused = [name for name in names if name not in ATTRIBUTES]
    if tag not in TAGS or refused:
        message = f"No builder makes <{tag}> with attributes {sorted(names)}."
        raise InputError(message)
    inside = "".join(
        f' {name}="{escape(value)}"' for name, value in names.items() if value
    )
    return Html(f"<{tag}{inside}>{join(children)}</{tag}>")


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    max_rows: int = MAX_ROWS,
    limit: int = MAX_CHARACTERS,
) -> Html:
    """Return a table; numbers stand to the right.

    Parameters
    ----------
    headers
        One a column.
    rows
        Cells in the order of `headers`.
    caption
        Shown above the table; empty for none.
    max_rows
        Rows shown; the rest is counted in a last row.
    limit
        Characters of a cell shown; what follows is counted.
    """
    every = [tuple(row) for row in rows]
    head = element("tr", *(_head(h, i, every) for i, h in enumerate(headers)))
    body = [element("tr", *(_cell(c, limit) for c in row)) for row in every[:max_rows]]
    rest = len(every) - len(body)
    if rest > 0:
        more = element(
            "td", f"… and {rest} more", class_="muted", colspan=str(len(headers))
        )
        body.append(element("tr", more))
    title = element("caption", caption) if caption else Html()
    return element("table", title, element("thead", head), element("tbody", *body))


def _head(header: object, column: int, rows: Sequence[Sequence[object]]) -> Html:
    """Return a column's head, which stands where its numbers do."""
    filled = [row[column] for row in rows if column < len(row) and row[column] != ""]
    numbers = bool(filled) and all(is_number(value) for value in filled)
    return element("th", header, scope="col", class_="num" if numbers else "")


def _cell(value: object, limit: int) -> Html:
    if isinstance(value, Html) and value.startswith("<td"):
        return value
    tone = "num" if is_number(value) else ""
    return element("td", escape(value, limit), class_=tone)


def best_cell(value: object) -> Html:
    """Return a table cell that stands out."""
    return element("td", value, class_="num best")


def definition_list(pairs: Iterable[tuple[object, object]]) -> Html:
    """Return names with their values, one a line."""
    parts: list[Html] = []
    for name, value in pairs:
        parts += [element("dt", name), element("dd", value)]
    return element("dl", *parts)


def badge(status: str, text: str = "") -> Html:
    """Return a status as a pill: its word, and a dot in its tone.

    Parameters
    ----------
    status
        Decides the tone, see `TONES`.
    text
        Shown in place of `status`.
    """
    tone = TONES.get(status, "")
    return element("span", text or status, class_=f"badge {tone}".rstrip())


def look(words: object) -> Html:
    """Return a line that deserves a second look."""
    return element("p", badge("caution", "look"), " ", words)


def details(summary: object, body: object) -> Html:
    """Return a block that a click opens."""
    return element("details", element("summary", summary), body)


def section(title: object, *children: object) -> Html:
    """Return a titled section."""
    return element("section", element("h3", title), *children)


def scoped(*children: object) -> Html:
    """Return the children in the scope of `STYLE`, with the stylesheet."""
    return Html(f"{STYLE}{element('div', *children, class_='fednb')}")

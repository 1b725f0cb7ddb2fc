"""One self-contained HTML file: results, plots and words, without any outside link.

The file's content security policy forbids scripts and every connection, so that it
stays harmless and complete wherever it is opened.
"""

from __future__ import annotations

import base64
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fednb.display import html
from fednb.display.html import STYLE, Html, element, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_PAGE_STYLE: Final = """<style>
:root{color-scheme:light dark}
body{max-width:60rem;margin:2rem auto;padding:0 1rem;font-family:system-ui,sans-serif}
h1{font-size:1.6em}nav ol{columns:2}img{max-width:100%;height:auto;background:#fff}
.report-item{margin:1em 0}
</style>"""

_MAX_TEXT: Final = 20_000


@dataclass(frozen=True)
class Section:
    """A chapter of a report.

    Attributes
    ----------
    title
        Heading, also in the table of contents.
    items
        Text, objects with ``_repr_html_``, and figures or axes of matplotlib.
    """

    title: str
    items: Sequence[object]


def write_report(
    path: str | Path, sections: Iterable[Section], *, title: str = "fednb report"
) -> Path:
    """Write a report as one HTML file; an existing file is replaced as a whole.

    Parameters
    ----------
    path
        The file to write; its folder must exist.
    sections
        In the order to show.
    title
        Heading of the page.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one is untouched.
    """
    target = Path(path)
    page = report_html(sections, title=title)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        draft.chmod(0o644)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def report_html(sections: Iterable[Section], *, title: str = "fednb report") -> str:
    """Return the page that `write_report` writes."""
    every = tuple(sections)
    chapters = [_chapter(i, section) for i, section in enumerate(every)]
    contents = "".join(
        f'<li><a href="#s{i}">{escape(section.title)}</a></li>'
        for i, section in enumerate(every)
    )
    heading = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{heading}</title>\n{STYLE}\n{_PAGE_STYLE}</head>\n<body>"
        f'<h1>{heading}</h1>\n<nav><ol class="contents">{contents}</ol></nav>\n'
        f"{''.join(chapters)}</body></html>\n"
    )


def _chapter(index: int, section: Section) -> str:
    items = "".join(
        f'<div class="report-item">{_item(item)}</div>\n' for item in section.items
    )
    heading = element("h2", section.title, id=f"s{index}")
    return f'<section class="fednb">{heading}\n{items}</section>\n'


def _item(item: object) -> str:
    """Return an item's HTML: figures as images, objects as they show themselves."""
    figure = _figure(item)
    if figure is not None:
        return _image(figure)
    if isinstance(item, Html):
        return item
    own = getattr(item, "_html", None) or getattr(item, "_repr_html_", None)
    shown = own() if callable(own) else None
    if isinstance(shown, str):
        return shown
    paragraphs = str(item).split("\n\n")
    return "".join(element("p", html.escape(p, _MAX_TEXT)) for p in paragraphs)


def _figure(item: object) -> Any:  # noqa: ANN401
    """Return a figure, or the figure of axes; None for anything else."""
    if callable(getattr(item, "savefig", None)):
        return item
    owner = getattr(item, "figure", None)
    return owner if callable(getattr(owner, "savefig", None)) else None


def _image(figure: Any) -> str:  # noqa: ANN401
    """Return a figure as an embedded PNG, without a note of the software."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    axes = figure.get_axes()
    words = [part.get_title() or part.get_xlabel() for part in axes]
    alt = escape(", ".join(word for word in words if word) or "plot")
    return f'<img alt="{alt}" src="data:image/png;base64,{data}">'

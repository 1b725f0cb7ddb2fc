"""The JavaScript and the stylesheet of the widgets: files of this package.

The front end loads a module from memory, where it cannot import its neighbours: what
the widgets share is put before each. Nothing is fetched from anywhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
"""Where the files are."""

CSS: Final = STATIC / "fednb.css"
"""One stylesheet for all, scoped to the class ``fednb-live``."""


def module(*names: str) -> str:
    """Return a widget's ES module, behind what all of them share.

    Parameters
    ----------
    names
        Of files in `STATIC`, without ``.js``; the last is the widget's own.
    """
    parts = (STATIC / f"{part}.js" for part in ("common", *names))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def ask(content: object) -> dict[str, str]:
    """Return the words of a message from the front end; what is no text is left out.

    Parameters
    ----------
    content
        Whatever came; another page may have sent it.
    """
    given = content if isinstance(content, dict) else {}
    return {k: v for k, v in given.items() if isinstance(k, str) and isinstance(v, str)}

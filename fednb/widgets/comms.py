"""What a page says to a widget is heard while a cell runs, where the page can have it.

JupyterLab sends what a widget's view says to a subshell: a thread of the kernel that no
cell blocks. From ipykernel 7.4 on, a comm answers in the shell of its own last message
instead, which for a widget made in a cell is the blocked one: an approval that a cell
waits for would never be heard, nor the press of a button that stops a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import anywidget

_ROUTE: Final = "_reply_subshell_for"


def hear_while_busy(widget: anywidget.AnyWidget) -> None:
    """Take a page's messages in the subshell that the page chose.

    Front ends without subshells choose the main one, as before.

    Parameters
    ----------
    widget
        It handles a message in whatever thread it comes.
    """
    if hasattr(widget.comm, _ROUTE):
        setattr(widget.comm, _ROUTE, _as_sent)


def _as_sent(_data: object, subshell: str | None) -> str | None:
    return subshell

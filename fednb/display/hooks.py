"""Objects that show themselves, and the registry of richer renderers.

`Shown` gives an object its static text and HTML. A front end (`fednb.widgets`)
registers renderers by type; they come first, and the static forms stay the fallback.
A front end is named before it is loaded: only something that is shown loads it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fednb.display.html import scoped

if TYPE_CHECKING:
    from fednb.display.html import Html

Renderer = Callable[[Any], dict[str, object] | None]
"""Makes a MIME bundle for an object, or None to leave it to its static form."""

_renderers: dict[type, Renderer] = {}
_front_ends: list[str] = []


def register_front_end(module: str) -> None:
    """Load a front end when something is shown for the first time.

    Parameters
    ----------
    module
        Name of a module with a function ``install``, which registers renderers.
    """
    _front_ends.append(module)


def register(kind: type, renderer: Renderer) -> None:
    """Show objects of `kind`, and of its subclasses, through `renderer`.

    Parameters
    ----------
    kind
        Class of the objects. A second renderer for it replaces the first.
    renderer
        Called with the object; answers a MIME bundle, or None.
    """
    _renderers[kind] = renderer


def unregister(kind: type) -> None:
    """Forget the renderer of `kind`, if there is one."""
    _renderers.pop(kind, None)


def render(shown: object) -> dict[str, object] | None:
    """Return the MIME bundle of the nearest registered class, or None.

    Parameters
    ----------
    shown
        Any object. Its class comes first, then the classes it inherits from.
    """
    while _front_ends:
        importlib.import_module(_front_ends.pop()).install()
    for kind in type(shown).__mro__:
        renderer = _renderers.get(kind)
        bundle = renderer(shown) if renderer is not None else None
        if bundle is not None:
            return bundle
    return None


class SelfShowing(Protocol):
    """What `Shown` asks of a subclass: two pure, escaped and bounded forms."""

    def _text(self) -> str:
        """Return the text form."""

    def _html(self) -> Html:
        """Return the HTML form, without stylesheet."""


class Shown:
    """Mixin: an object that shows itself as text and as escaped HTML.

    A subclass gives the two methods of `SelfShowing`. They touch neither files nor the
    network. A dataclass needs ``repr=False``.
    """

    __slots__ = ()

    # typing.override came with Python 3.12
    def __repr__(self: SelfShowing) -> str:  # type: ignore[explicit-override]
        return self._text()

    def _repr_html_(self: SelfShowing) -> str:
        return str(scoped(self._html()))

    def _repr_mimebundle_(
        self: SelfShowing, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        del include, exclude  # IPython filters by itself
        bundle = render(self)
        if bundle is not None:
            return bundle
        return {"text/plain": self._text(), "text/html": str(scoped(self._html()))}

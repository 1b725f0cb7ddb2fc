from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

from fednb.display import hooks, html


class Thing(hooks.Shown):
    def _text(self) -> str:
        return "a <thing>"

    def _html(self) -> html.Html:
        return html.element("p", "a <thing>")


class Special(Thing):
    pass


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    hooks.unregister(Thing)
    hooks.unregister(Special)


def test_an_object_shows_its_static_forms():
    thing = Thing()
    assert repr(thing) == "a <thing>"
    assert "<p>a &lt;thing&gt;</p>" in thing._repr_html_()
    bundle = thing._repr_mimebundle_()
    assert bundle == {"text/plain": repr(thing), "text/html": thing._repr_html_()}


def test_a_registered_renderer_comes_first_also_for_subclasses():
    hooks.register(Thing, lambda thing: {"text/plain": type(thing).__name__})
    assert Special()._repr_mimebundle_(include=None, exclude=None) == {
        "text/plain": "Special"
    }


def test_the_nearest_class_wins_and_none_passes_on():
    hooks.register(Thing, lambda _: {"x": "thing"})
    hooks.register(Special, lambda _: {"x": "special"})
    assert hooks.render(Special()) == {"x": "special"}
    hooks.register(Special, lambda _: None)
    assert hooks.render(Special()) == {"x": "thing"}


def test_without_a_renderer_there_is_none():
    assert hooks.render(object()) is None
    hooks.unregister(Thing)
    assert "text/html" in Thing()._repr_mimebundle_()

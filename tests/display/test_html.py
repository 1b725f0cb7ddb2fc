from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.display import html
from fednb.display.html import Html
from fednb.errors import InputError

if TYPE_CHECKING:
    from types import SimpleNamespace


@given(st.text())
def test_no_text_becomes_markup(value: str):
    assert not re.search(r"""[<>"']""", html.escape(value))


def test_html_that_was_built_here_is_kept_and_joined_strings_are_escaped():
    bold = html.element("strong", "a & b")
    assert bold == "<strong>a &amp; b</strong>"
    assert html.escape(bold) is bold
    assert html.escape(bold + "") == html.escape(str(bold))
    assert html.escape(f"{bold}").startswith("&lt;strong")


def test_attributes_are_escaped(hostile: SimpleNamespace):
    made = html.element("span", "x", title=hostile.HOSTILE, class_='a"b')
    hostile.assert_harmless_html(made)


@pytest.mark.parametrize("tag", ["script", "img", "a", "iframe", "svg", "p onclick"])
def test_other_tags_are_refused(tag: str):
    with pytest.raises(
        InputError, match=rf"^No builder makes <{tag}> with attributes \[\]\.$"
    ):
        html.element(tag)


def test_handlers_are_refused():
    with pytest.raises(InputError, match=r"attributes \['onclick'\]"):
        html.element("p", "x", onclick="f()")


def test_every_builder_escapes(hostile: SimpleNamespace):
    bad = hostile.HOSTILE
    page = html.scoped(
        html.table([bad], [[bad]], caption=bad),
        html.definition_list([(bad, bad)]),
        html.badge(bad, bad),
        html.badge(bad),
        html.details(bad, bad),
        html.section(bad, bad),
        html.table(["x"], [[html.best_cell(bad)]]),
    )
    hostile.assert_harmless_html(page, times=11)


def test_a_string_that_looks_like_a_cell_is_escaped():
    assert "<td onclick" not in html.table(["x"], [["<td onclick=f()>"]])


def test_a_table_is_bounded():
    made = html.table(["n"], [[i] for i in range(1000)], max_rows=3)
    assert made.count("<tr>") == 5
    assert "… and 997 more" in made


def test_numbers_stand_to_the_right_and_words_to_the_left():
    made = html.table(["a", "b"], [["x", 1.5]])
    assert "<td>x</td><td class=&quot;num&quot;>" not in made
    assert '<td>x</td><td class="num">1.500</td>' in made


def test_the_stylesheet_is_scoped_and_names_nothing_outside():
    rules = re.sub(r"\{[^}]*\}", "\n", html.STYLE).replace("<style>", "")
    selectors = [s for s in re.split(r"[,\n]", rules) if s and s != "</style>"]
    assert selectors
    assert all(s.startswith(".fednb") for s in selectors)
    assert "url(" not in html.STYLE
    assert "@import" not in html.STYLE


def test_every_theme_colour_has_a_fallback():
    assert not re.findall(r"var\(\s*--jp-[a-z0-9-]+\s*\)", html.STYLE)


def test_a_badge_tells_its_status_in_words():
    assert html.badge("approved") == '<span class="badge good">approved</span>'
    assert html.badge("odd") == '<span class="badge">odd</span>'


def test_html_is_a_string():
    assert isinstance(html.scoped(Html("x")), str)

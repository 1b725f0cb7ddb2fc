"""Things by name: a mapping like any other, but for what an unknown name is told."""

from __future__ import annotations

import pytest

from fednb.display.named import Named
from fednb.errors import UnknownNameError


class Trees(Named[int]):
    kind = "tree"
    headers = ("name", "rings")

    def _rows(self):
        return list(self._found.items())


class Counted(Trees):
    def _heading(self) -> str:
        return f"{len(self)} trees"


def test_it_is_a_mapping():
    trees = Trees({"oak": 80, "<b>": 7})
    assert (list(trees), len(trees)) == (["oak", "<b>"], 2)
    assert "oak" in trees
    assert "elm" not in trees
    assert (trees.get("oak"), trees.get("elm"), trees.get("elm", 0)) == (80, None, 0)
    assert dict(trees) == {"oak": 80, "<b>": 7}


def test_an_unknown_name_is_told_with_those_that_there_are():
    with pytest.raises(UnknownNameError) as caught:
        Trees({"oak": 80, "ash": 9})["oaks"]
    assert str(caught.value) == (
        "Unknown tree 'oaks'. Did you mean 'oak'? Known: ash, oak."
    )


def test_it_shows_its_rows_escaped_and_what_stands_above_them():
    assert repr(Trees({"oak": 80})).split() == ["name", "rings", "oak", "80"]
    assert repr(Counted({"oak": 80})).startswith("1 trees\n\nname")
    assert "<b>" not in Trees({"<b>": 7})._repr_html_()
    assert "<p>1 trees</p>" in Counted({"oak": 80})._repr_html_()


def test_tab_completes_names():
    assert Trees({"oak": 80, "elm": 7})._ipython_key_completions_() == ["oak", "elm"]

"""The demo's words, apart from the run that brings them."""

from __future__ import annotations

from fednb.phantom.story import Leaving


def test_what_left_is_a_table_in_the_report_as_in_the_terminal():
    left = Leaving(
        (("update", "masked", 90, "952 kB"), ("receipt", "receipt", 3, "16 B"))
    )
    assert repr(left).splitlines()[0].split() == [
        "output",
        "kind",
        "releases",
        "largest",
    ]
    assert left._repr_html_().count("<tr>") == 3
    assert "U+000A" not in left._repr_html_()

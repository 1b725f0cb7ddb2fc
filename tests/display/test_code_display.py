"""A site owner reads every character of a requester's code, in place and escaped."""

from __future__ import annotations

import html as entities
import re

from hypothesis import given
from hypothesis import strategies as st

from fednb.display.code import (
    changes_html,
    code_changes,
    code_html,
    code_text,
    pieces,
)
from fednb.records.code import Code

SOURCE = '''"""Mine."""
import math


class Net:
    """A <b>network</b> & more."""

    rate = 0.5  # half

    def forward(self, x):
        return "<script>" if x is None else math.sqrt(x)
'''
HOSTILE = "def f(x):\n    return x  # \u202e</pre><script>alert(1)</script>\r# gone\n"


def shown(page: str) -> str:
    """Return what a reader sees of the code: text without tags and line numbers."""
    body = re.search(r'<pre class="code">(.*)</pre>', page, re.DOTALL)[1]
    body = re.sub(r'<span class="c-margin">[^<]*</span>', "", body)
    return entities.unescape(re.sub(r"<[^>]*>", "", body))


@given(st.text(max_size=300))
def test_the_pieces_are_the_source(source):
    lines = ["".join(part for _, part in line) for line in pieces(source)]
    assert "\n".join(lines) == source


def test_every_line_is_there_numbered_and_coloured():
    page = code_html(Code("Net", SOURCE))
    assert shown(page) == SOURCE
    assert re.findall(r'c-margin">\s*(\d+) ', page) == [str(n) for n in range(1, 12)]
    assert (
        '<span class="c-keyword">class</span> <span class="c-name">Net</span>' in page
    )
    assert '<span class="c-comment"># half</span>' in page
    assert '<span class="c-number">0.5</span>' in page
    assert "<script>" not in page


def test_long_code_and_long_lines_are_shown_whole():
    lines = [f"A{i} = {'1' * 900}" for i in range(60)]
    source = "\n".join([*lines, "def f(x):", "    return x", ""])
    assert shown(code_html(Code("f", source))) == source
    assert all(line in code_text(Code("f", source)) for line in lines)


def test_what_does_not_show_is_written_out():
    page, plain = code_html(Code("f", HOSTILE)), code_text(Code("f", HOSTILE))
    for view in (page, plain):
        assert "\u202e" not in view
        assert "\r" not in view
    assert "<script>" not in page
    assert "&lt;U+202E&gt;&lt;/pre&gt;&lt;script&gt;" in page
    assert "<U+202E>" in plain
    assert "<U+000D>" in plain
    assert "the character U+202E does not show as it is" in page


def test_the_hash_and_the_parameters_are_named():
    code = Code("Net", SOURCE, params={"widths": [1, 2], "name": "<i>"})
    page = code_html(code)
    assert code.sha256 in page
    assert code.sha256 in code_text(code)
    assert "Net(widths=[1, 2], name=&#x27;&lt;i&gt;&#x27;)" in page


def test_changes_are_a_diff_against_the_code_of_the_same_name():
    after = Code("Net", SOURCE.replace("0.5  # half", "2.0  # <b>double</b>"))
    lines = code_changes((Code("Net", SOURCE),), (after,))
    assert lines[0] == "Code Net: 1 lines new, 1 gone."
    assert "-    rate = 0.5  # half" in lines
    assert "+    rate = 2.0  # <b>double</b>" in lines
    page = changes_html(lines)
    assert '<span class="c-gone">-    rate = 0.5  # half</span>' in page
    assert "&lt;b&gt;double" in page
    assert code_changes((after,), (after,)) == ()


def test_new_and_dropped_code_is_told_whole():
    code = Code("f", "def f(x):\n    return x\n")
    assert code_changes((), (code,))[0] == "Code f: 2 lines new, 0 gone."
    assert code_changes((code,), ())[0] == "Code f: 0 lines new, 2 gone."

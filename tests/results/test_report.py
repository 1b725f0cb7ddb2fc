from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Never

import pandas as pd
import pytest
import samples
from matplotlib.figure import Figure

from fednb.display.html import element
from fednb.results.report import Section, report_html, write_report

if TYPE_CHECKING:
    from pathlib import Path
    from types import SimpleNamespace


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [v for k, v in attrs if k in {"src", "href", "action", "data"}]
        self.ids += [v for k, v in attrs if k == "id"]


def read(page: str):
    reader = _Links()
    reader.feed(page)
    return reader


def sections(word: str = "word"):
    results = [make(word) for make in samples.KINDS.values()]
    frame = pd.DataFrame({word: [word]})
    figure = Figure()
    figure.subplots().set_title("plain")
    plots = [samples.cox("age").plot(), figure]
    return [
        Section(word, [word, *results, frame, element("p", "built")]),
        Section("Plots", plots),
    ]


def test_the_file_holds_everything(tmp_path: Path):
    path = write_report(tmp_path / "report.html", sections(), title="A report")
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    images = [link for link in reader.links if link.startswith("data:image/png;")]
    assert len(images) == 2
    for image in images:
        png = base64.b64decode(image.split(",", 1)[1], validate=True)
        assert png.startswith(b"\x89PNG")
        assert b"http" not in png
    assert [link for link in reader.links if link not in images] == ["#s0", "#s1"]
    assert reader.ids == ["s0", "s1"]
    assert "://" not in re.sub(r'src="data:[^"]*"', "", page)
    assert "<title>A report</title>" in page
    assert "<p>built</p>" in page
    assert 'alt="log(HR) (95% CI)"' in page


def test_scripts_and_connections_are_forbidden_by_the_page_itself():
    page = report_html([])
    assert "default-src 'none'" in page
    assert "script" not in read(page).tags


def test_hostile_words_are_escaped(hostile: SimpleNamespace):
    page = report_html(sections(hostile.HOSTILE), title=hostile.HOSTILE)
    reader = read(page)
    assert "script" not in reader.tags
    assert reader.tags.count("img") == 2
    assert "onerror" not in reader.attributes


def test_an_existing_report_is_replaced_and_no_draft_is_left(tmp_path: Path):
    path = tmp_path / "report.html"
    write_report(path, [Section("one", ["first"])])
    write_report(path, [Section("two", ["second"])])
    assert "second" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_report_leaves_the_earlier_one(tmp_path: Path):
    path = tmp_path / "report.html"
    write_report(path, [Section("one", ["first"])])

    class Broken:
        def _repr_html_(self) -> Never:
            message = "broken"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="broken"):
        write_report(path, [Section("two", [Broken()])])
    assert "first" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_paragraphs_of_text():
    page = report_html([Section("s", ["one\n\ntwo"])])
    assert "<p>one</p><p>two</p>" in page

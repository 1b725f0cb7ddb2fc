from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.display import text


@given(st.text())
def test_visible_leaves_no_invisible_character(value: str):
    shown = text.visible(value)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"}]


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=200))
def test_visible_keeps_ordinary_text(value: str):
    assert text.visible(value) == value


def test_visible_marks_what_could_deceive():
    assert text.visible("a\u202eb\n\x1b[2J") == "a<U+202E>b<U+000A><U+001B>[2J"


def test_visible_counts_what_it_does_not_show():
    assert text.visible("x" * 205) == "x" * 200 + "… and 5 more characters"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "inf"),
        (3, "3"),
        (0.0, "0.000"),
        (0.70512, "0.705"),
        (0.00123456, "0.00123"),
        (1234.56, "1234.6"),
        (2.5e9, "2.5e+09"),
        (-0.5, "-0.500"),
    ],
)
def test_number(value: float | None, shown: str):
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (999_960, "1 MB"),
        (132_840, "133 kB"),
        (50_000_000, "50 MB"),
        (2**30, "1.07 GB"),
    ],
)
def test_human_bytes(count: int, shown: str):
    assert text.human_bytes(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0004, "0.4 ms"),
        (12, "12 s"),
        (59.97, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (86400 * 30, "30 days"),
    ],
)
def test_human_seconds(seconds: float, shown: str):
    assert text.human_seconds(seconds) == shown


def test_human_count():
    assert [text.human_count(n) for n in (7, 33_210, 1_500_000)] == [
        "7",
        "33.2 k",
        "1.5 M",
    ]


def test_utc_answers_any_integer():
    assert text.utc(0) == "1970-01-01 00:00 UTC"
    assert text.utc(10**30) == f"Unix time {10**30}"
    assert text.utc(-1) == "Unix time -1"


def test_a_table_is_aligned_with_numbers_to_the_right():
    shown = text.table(["site", "n"], [["a", 5], ["bee", 120]])
    assert shown == "site    n\na       5\nbee   120"


def test_wide_and_combining_characters_keep_the_columns_aligned():
    shown = text.table(["name", "n"], [["病院", 1], ["e\u0301", 2]]).splitlines()
    assert shown[1:] == ["病院  1", "e\u0301     2"]


def test_a_table_is_bounded():
    lines = text.table(["n"], [[i] for i in range(1000)], max_rows=5).splitlines()
    assert len(lines) == 7
    assert lines[-1] == "… and 995 more"


def test_an_empty_table_shows_its_headers():
    assert text.table(["site", "n"], []) == "site  n"


def test_fields_align_their_values():
    assert text.fields([("a", 1), ("long", None)]) == "a:    1\nlong: -"


def test_one_thing_and_several():
    told = [text.counted(n, "site") for n in (0, 1, 3)]
    assert told == ["0 sites", "1 site", "3 sites"]
    assert text.counted(2, "entry", "entries") == "2 entries"

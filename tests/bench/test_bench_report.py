"""Targets, cells and the order statistics of a report."""

from dataclasses import dataclass

import pytest
from rich.console import Console

from fednb.bench.report import Report, Target, cell, median, upper


@dataclass(frozen=True)
class Row:
    name: str
    some_ms: float
    target: Target | None = None


def shown(report):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report.table())
    return capture.get()


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(4.9, "ok"), (5.0, "ok"), (5.1, "over"), (float("nan"), "over")],
)
def test_a_target_is_met_up_to_its_limit(value, verdict):
    target = Target("round", value, 5.0, "ms")
    assert target.verdict == verdict
    assert target.text() == f"<= 5 ms: {verdict}"


def test_a_table_shows_rows_targets_machine_and_notes():
    rows = (Row("a", 1.5, Target("a", 1.5, 1.0, "ms")), Row("b", 2.0))
    text = shown(Report("demo", rows, ("A note.",)))
    for part in ("fednb bench demo", "some ms", "1.5", "<= 1 ms: over", "A note."):
        assert part in text
    assert Report("demo", rows).targets == (rows[0].target,)


def test_a_lone_row_is_shown_downwards():
    lines = shown(Report("demo", (Row("a", 1.5),))).splitlines()
    assert any(line.split() == ["some", "ms", "1.5"] for line in lines)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (123456.7, "123,457"),
        ("x", "x"),
    ],
)
def test_cells_are_short(value, text):
    assert cell(value) == text


def test_order_statistics():
    assert median([3.0, 1.0, 2.0, 10.0]) == 2.5
    assert upper([7.0]) == 7.0
    assert upper([float(n) for n in range(11)]) == 9.0

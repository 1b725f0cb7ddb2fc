from __future__ import annotations

import math

import pytest
import samples

from fednb.errors import InputError, UnknownNameError
from fednb.results.comparison import ComparisonRow, ComparisonTable


def test_the_best_is_highest_or_lowest_and_never_a_reference():
    table = samples.comparison("federated")
    assert table.best("federated") == ("federated",)
    assert table.best("Brier") == ("federated",)
    with pytest.raises(UnknownNameError, match="Unknown metric 'AUCC'"):
        table.best("AUCC")


def test_ties_share_and_missing_values_do_not_count():
    rows = (
        ComparisonRow("a", (0.7,)),
        ComparisonRow("b", (0.7,)),
        ComparisonRow("c", (math.nan,)),
    )
    assert ComparisonTable("t", ("C",), rows).best("C") == ("a", "b")
    assert ComparisonTable("t", ("C",), rows[2:]).best("C") == ()


def test_the_best_is_marked_in_text_and_html():
    table = samples.comparison("federated")
    assert "0.900 (SE 0.020) *" in repr(table)
    assert table._repr_html_().count('class="num best"') == 2
    assert '<td class="num best">0.900 (SE 0.020)</td>' in table._repr_html_()


def test_to_frame_has_metrics_and_their_errors():
    frame = samples.comparison("AUC").to_frame()
    assert list(frame.columns) == ["AUC", "AUC SE", "Brier", "Brier SE"]
    assert frame.loc["age only"].tolist() == [0.8, 0.03, 0.15, 0.01]
    assert math.isnan(frame.loc["central", "AUC SE"])


def test_a_row_of_another_width_is_refused():
    with pytest.raises(
        InputError, match=r"^Row 'a' has 2 scores and 0 errors; 1 metrics are named\.$"
    ):
        ComparisonTable("t", ("C",), (ComparisonRow("a", (1.0, 2.0)),))


def test_a_plot_has_a_row_for_each_that_has_the_figure_and_its_whole_title():
    rows = (ComparisonRow("a", (0.7,)), ComparisonRow("b", (math.nan,)))
    title = "Test patients, pairs within hospitals"
    axes = ComparisonTable(title, ("C",), rows).plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a"]
    assert axes.get_title() == title


def test_the_text_says_that_references_are_not_ranked():
    lines = repr(samples.comparison()).splitlines()
    assert lines[-1] == "* best; references are not ranked"
    alone = ComparisonTable("t", ("C",), (ComparisonRow("a", (0.7,)),))
    assert repr(alone).splitlines()[-1] == "* best"

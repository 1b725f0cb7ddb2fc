from __future__ import annotations

import math

import pandas as pd
import pytest
import samples

from fednb.errors import UnknownNameError
from fednb.privacy.summaries import LevelSummary, NumberSummary
from fednb.records.datasets import Column
from fednb.results.statistics import ColumnSummary, StatisticsResult


def test_to_frame_has_a_row_a_level():
    frame = samples.statistics("age", by="sex").to_frame()
    assert frame.index.names == ["column", "group", "level"]
    assert list(frame.columns) == [
        "unit",
        "n",
        "mean",
        "std",
        "25%",
        "50%",
        "count",
        "proportion",
        "sites",
    ]
    assert len(frame) == 4
    assert frame.loc[("age", "age", ""), "mean"] == 52.5
    assert frame.loc[("grade", "age", "4"), "proportion"] == 0.25


def test_zero_looks_like_small_unless_the_profile_is_open():
    standard, opened = samples.statistics(), samples.statistics(profile="open")
    where = ("grade", "age", "rare")
    assert pd.isna(standard.to_frame().loc[where, "count"])
    assert opened.to_frame().loc[where, "count"] == 0
    assert "<10" in repr(standard)
    assert "&lt;10" in standard._repr_html_()
    assert "<10" not in repr(opened)
    assert "<7" in repr(samples.statistics(profile="rare-disease"))


def test_a_suppressed_column_shows_no_figures():
    column = ColumnSummary(name="age", kind="number", unit="years")
    result = StatisticsResult(dataset="d", columns=(column,), sites=("a",))
    assert "nan" not in repr(result)
    assert repr(result).splitlines()[-3].split() == ["age", "(years)", "<10", "0"]


def test_columns_are_found_by_name():
    result = samples.statistics("age")
    assert [c.kind for c in result.of("age")] == ["number"]
    with pytest.raises(UnknownNameError, match="Did you mean 'grade'"):
        result.of("grades")


def test_proportions_come_from_rounded_counts():
    column = ColumnSummary("g", "category", n=40, levels={"a": 30, "b": 0})
    assert column.proportion("a") == 0.75
    assert math.isnan(column.proportion("b"))


def test_summaries_are_what_the_pooling_found():
    age = Column("age", "number", unit="years")
    pooled = NumberSummary(
        age, "1", 90, 50.0, 100.0, 10.0, {0.5: 49.0}, (0.0, 1.0), (90.0,), 3
    )
    found = ColumnSummary.of(pooled)
    assert (found.name, found.unit, found.group, found.n) == ("age", "years", "1", 90)
    assert (found.mean, found.std, found.quantiles) == (50.0, 10.0, {0.5: 49.0})
    assert (found.edges, found.counts, found.sites) == ((0.0, 1.0), (90.0,), 3)
    idh = Column("idh", "binary")
    shares = {"0": 0.25, "1": 0.75}
    found = ColumnSummary.of(
        LevelSummary(idh, "", 40, {"0": 10, "1": 30}, shares, {"0": 1, "1": 3})
    )
    assert (found.levels, found.sites) == ({"0": 10, "1": 30}, 3)
    assert {level: found.proportion(level) for level in found.levels} == shares


def test_a_histogram_keeps_the_owners_grid():
    axes = samples.statistics("age").plot("age")
    (steps,) = axes.patches
    assert list(steps.get_data().edges) == [20.0, 40.0, 60.0, 80.0]
    assert list(steps.get_data().values) == [40, 100, 60]
    assert axes.get_ylabel() == "patients"


def test_bars_of_labels():
    axes = samples.statistics("age").plot("grade")
    assert [bar.get_height() for bar in axes.patches] == [150, 0, 50]

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError, PlanError, UnknownNameError
from fednb.privacy.histograms import Histogram
from fednb.privacy.profiles import OPEN, STANDARD
from fednb.privacy.summaries import summarise
from fednb.privacy.tables import (
    DescribeLayout,
    LevelCell,
    NumberCell,
    StatisticsLayout,
)
from fednb.records.datasets import Column
from fednb.records.tasks import DescribePlan, StatisticsPlan

AGE = Column("age", "number", "years", 20.0, 100.0, 20.0)
SEX = Column("sex", "category", levels=("F", "M"))
IDH = Column("idh", "binary")
COLUMNS = (AGE, SEX, IDH)


def layout_of(*columns: str, by: str = "") -> StatisticsLayout:
    return StatisticsLayout.from_plan(StatisticsPlan(columns, by=by), COLUMNS)


def test_the_layout_by_hand():
    layout = layout_of("age", "idh", by="sex")
    assert layout.keys() == (("age", "F"), ("age", "M"), ("idh", "F"), ("idh", "M"))
    assert layout.size == 2 * (3 + 4 + 1) + 2 * 4
    # 20 patients, mean 60 is half the range; standard deviation 8 a tenth of it
    shape = Histogram((20.0, 60.0, 100.0), (10, 20))
    cell = NumberCell.of(AGE, 20, (60.0, 64.0), shape)
    levels = LevelCell(np.array([10.0, 0.0]), np.array([0.0, 1.0]))
    cells = {
        ("age", "F"): cell,
        ("age", "M"): layout.suppressed(AGE),
        ("idh", "F"): levels,
        ("idh", "M"): layout.suppressed(IDH),
    }
    vector = layout.encode(cells)
    assert vector[:8] == pytest.approx([20, 10, 5.2, 5, 5, 10, 10, 0])
    assert vector[8:].tolist() == [0] * 7 + [1] + [10, 0, 0, 1] + [0, 0, 1, 1]


@given(st.integers(0, 2**31), st.sampled_from(["", "sex", "idh"]))
def test_decoding_undoes_encoding(seed, by):
    layout = layout_of("age", "sex", "idh", by=by)
    vector = np.random.default_rng(seed).uniform(0, 100, layout.size)
    assert np.array_equal(layout.encode(layout.decode(vector)), vector)


def test_pooling_two_sites_by_hand():
    layout = layout_of("age", "sex")
    first = {
        ("age", ""): NumberCell.of(
            AGE, 20, (50.0, 100.0), Histogram((20.0, 60.0, 100.0), (10, 10))
        ),
        ("sex", ""): LevelCell(np.array([10.0, 10.0]), np.zeros(2)),
    }
    second = {
        ("age", ""): NumberCell.of(
            AGE, 30, (60.0, 64.0), Histogram((20.0, 100.0), (30,))
        ),
        ("sex", ""): LevelCell(np.array([30.0, 0.0]), np.array([0.0, 1.0])),
    }
    third = {("age", ""): layout.suppressed(AGE), ("sex", ""): layout.suppressed(SEX)}
    total = sum(layout.encode(cells) for cells in (first, second, third))
    age, sex = summarise(layout, total, sites=3, profile=STANDARD)
    assert (age.n, age.sites) == (50, 2)
    assert age.mean == pytest.approx(56.0)
    # 20 (100 + 36) + 30 (64 + 16) over 49
    assert age.variance == pytest.approx(5120 / 49)
    assert age.std == pytest.approx(math.sqrt(5120 / 49))
    assert age.edges == (20.0, 40.0, 60.0, 80.0, 100.0)
    assert age.counts == pytest.approx((12.5,) * 4)
    assert age.quantiles == pytest.approx({0.25: 40.0, 0.5: 60.0, 0.75: 80.0})
    assert sex.counts == {"F": 40, "M": 10}
    assert sex.proportions == {"F": 0.8, "M": 0.2}
    assert sex.sites == {"F": 2, "M": 1}
    assert sex.n == 50


def test_nobody_contributes():
    layout = layout_of("age", "sex")
    cells = {("age", ""): layout.suppressed(AGE), ("sex", ""): layout.suppressed(SEX)}
    age, sex = summarise(layout, 3 * layout.encode(cells), sites=3, profile=STANDARD)
    assert (age.n, age.sites, sex.n, sex.sites) == (0, 0, 0, {"F": 0, "M": 0})
    assert all(map(math.isnan, (age.mean, age.std, *age.quantiles.values())))
    assert math.isnan(sex.proportions["F"])


def test_pooled_quantiles_need_the_threshold_on_each_side():
    layout = layout_of("age")
    shape = Histogram((20.0, 100.0), (30,))
    vector = layout.encode({("age", ""): NumberCell.of(AGE, 30, (60.0, 64.0), shape)})
    (strict,) = summarise(layout, vector, sites=1, profile=STANDARD)
    (exact,) = summarise(layout, vector, sites=1, profile=OPEN)
    assert math.isnan(strict.quantiles[0.25])
    assert strict.quantiles[0.5] == 60.0
    assert exact.quantiles[0.25] == 40.0


def test_the_pooled_histogram_has_at_most_the_bins_asked_for():
    layout = dataclasses.replace(layout_of("age"), bins=3)
    shape = Histogram(AGE.grid(), (1, 2, 3, 4))
    vector = layout.encode({("age", ""): NumberCell.of(AGE, 10, (60.0, 1.0), shape)})
    (age,) = summarise(layout, vector, sites=1, profile=OPEN)
    assert age.edges == (20.0, 60.0, 100.0)
    assert age.counts == (3.0, 7.0)


def test_what_cannot_be_laid_out_is_refused():
    with pytest.raises(UnknownNameError, match="Unknown column 'agee'"):
        layout_of("agee")
    with pytest.raises(InputError, match="levels of a category or binary"):
        layout_of("sex", by="age")
    with pytest.raises(InputError, match="distinct columns"):
        layout_of("age", "age")
    with pytest.raises(InputError, match="distinct levels"):
        StatisticsLayout((Column("x", "category", levels=("a", "a")),))
    for change in ({"step": 0.0}, {"step": 0.01}, {"upper": 20.0}, {"resolution": 0.0}):
        with pytest.raises(InputError, match="makes at most 1000 cells"):
            StatisticsLayout((msgspec.structs.replace(AGE, **change),))
    with pytest.raises(InputError, match="8 elements is expected"):
        layout_of("age").decode(np.zeros(7))


def test_describing():
    layout = DescribeLayout(("age", "sex"), ("T1c",))
    vector = layout.encode([50, 40, 0, 30], exact=False)
    assert vector.tolist() == [50, 40, 0, 30, 0, 0, 1, 0]
    assert layout.encode([5, 4, 0, 3], exact=True).tolist() == [5, 4, 0, 3, 0, 0, 0, 0]
    cell = layout.decode(vector * 2 + 1e-9)
    assert cell.counts.tolist() == [100, 80, 0, 60]
    assert cell.suppressed.tolist() == [0, 0, 2, 0]
    with pytest.raises(InputError, match="8 elements are expected"):
        layout.decode(np.zeros(4))


def test_a_description_that_leaves_something_open_has_no_layout():
    whole = DescribePlan(("age",), ())
    assert DescribeLayout.from_plan(whole) == DescribeLayout(("age",), ())
    for plan in (DescribePlan(), DescribePlan(("age",)), DescribePlan(None, ())):
        with pytest.raises(InputError, match="must name its columns and its modal"):
            DescribeLayout.from_plan(plan)
    with pytest.raises(PlanError, match=r"each name once; columns = \('age', 'age'\)"):
        DescribePlan(("age", "age"))

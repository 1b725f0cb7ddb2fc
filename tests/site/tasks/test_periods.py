"""Rules where effects change with time: patients count, episodes do not."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from fednb.privacy.profiles import OPEN, STANDARD
from fednb.records.contracts import Privacy
from fednb.records.datasets import Column
from fednb.records.heads import CoxPlan
from fednb.site.tasks.periods import (
    check_own,
    check_pooled,
    period_moments,
    squares_share,
)
from fednb.survival.grid import Survival
from fednb.survival.protocol import design_of

SPANS = ((0.0, 12.0), (12.0, inf))
COLUMNS = (
    Column("age", "number", lower=0.0, upper=100.0),
    Column("time", "number", lower=0.0, upper=60.0),
    Column("event", "binary"),
)
PLAN = CoxPlan(covariates=("age",), time_varying={"age": (12,)})


def _survival(early: int, late: int) -> Survival:
    time = np.repeat([6.0, 30.0], [early, late])
    return Survival(time, np.ones(time.size))


def test_every_interval_holds_the_threshold_of_a_sites_exits():
    assert check_own(SPANS, _survival(10, 10), STANDARD).allow
    # the nine late patients are at risk in both intervals, and leave in one
    refused = check_own(SPANS, _survival(10, 9), STANDARD)
    assert not refused.allow
    assert refused.rule.startswith("disclosure.10")
    assert "9 patients leave in an interval of a time-varying effect" in refused.reason


@pytest.fixture
def pooled():
    design = design_of(PLAN, COLUMNS, privacy=Privacy(), parts=3)
    total = np.array([90, 60, 0, 0, 22.5, 10, 90, 40, 30, 30], dtype=float)
    return design, design.replay([total])


def test_moments_are_of_the_patients_at_risk(pooled):
    design, state = pooled
    np.testing.assert_array_equal(state.observed, [90, 40])
    np.testing.assert_array_equal(state.died, [30, 30])
    # half a declared width is the unit: 50 years
    np.testing.assert_allclose(state.scale.mean, [50, 50])
    np.testing.assert_allclose(state.scale.std, 50 * np.sqrt([22.5 / 89, 10 / 39]))
    rows = _survival(60, 30)
    z = np.column_stack([np.arange(90) / 100.0] * 2)
    sums, squares, counts, died = np.split(period_moments(z, design, rows, OPEN), 4)
    np.testing.assert_allclose(sums, [z[:, 0].sum(), z[60:, 0].sum()])
    np.testing.assert_allclose(squares, [(z[:, 0] ** 2).sum(), (z[60:, 0] ** 2).sum()])
    np.testing.assert_array_equal(counts, [90, 30])
    np.testing.assert_array_equal(died, [60, 30])


def test_counts_leave_rounded_and_means_to_two_decimals(pooled):
    z = np.column_stack([np.linspace(0, 1, 57)] * 2)
    found = period_moments(z, pooled[0], _survival(33, 24), STANDARD)
    sums, squares, counts, died = np.split(found, 4)
    np.testing.assert_array_equal(counts, [60, 20])
    np.testing.assert_array_equal(died, [30, 20])
    np.testing.assert_allclose(sums / counts, np.round(sums / counts, 2), atol=1e-12)
    std = np.sqrt(squares / counts - (sums / counts) ** 2)
    np.testing.assert_allclose(std, np.round(std, 2), atol=1e-9)


def test_deaths_and_coefficients_are_counted_by_interval(pooled):
    design, state = pooled
    assert all(d.allow for d in check_pooled(design, state, STANDARD))
    few = replace(state, died=np.array([30.0, 0.0]))
    refused = [d for d in check_pooled(design, few, STANDARD) if not d.allow]
    assert [d.rule.split("-")[0] for d in refused] == ["disclosure.10"]
    # 1 coefficient acts in the late interval: 10 % of nine patients are not enough
    thin = replace(state, observed=np.array([90.0, 9.0]))
    refused = [d for d in check_pooled(design, thin, STANDARD) if not d.allow]
    assert [d.rule.split("-")[0] for d in refused] == ["disclosure.9"]


def test_leverage_is_of_the_patients_in_an_interval():
    z = np.zeros((40, 2))
    z[39] = 3.0  # 9 / 40 of all patients is little, 9 / 10 of the late ones is not
    found = squares_share(z, SPANS, _survival(30, 10), np.array([40.0, 10.0]))
    assert found == pytest.approx(0.9)
    # who left before an interval has no weight there
    z[39], z[0] = 0.0, 3.0
    found = squares_share(z, SPANS, _survival(30, 10), np.array([40.0, 10.0]))
    assert found == pytest.approx(9 / 40)

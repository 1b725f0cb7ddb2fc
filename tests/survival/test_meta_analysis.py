"""Random effects from sums, against the formulas on the estimates themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fednb.errors import FitError
from fednb.survival.meta_analysis import (
    effect_sums,
    expit,
    heterogeneity,
    logit,
    mean_sums,
    random_effects,
)

# BCG vaccine trials (Colditz 1994): log risk ratios and variances as metafor lists
# them; its DerSimonian-Laird fit has tau2 .3088, I2 92.12 %, mean -.7141 (SE .1787)
EFFECTS = (
    -0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209,
    0.0120, -0.4694, -1.3713, -0.3394, 0.4459, -0.0173,
)  # fmt: skip
VARIANCES = (
    0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230,
    0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714,
)  # fmt: skip


def test_the_vaccine_trials_come_out_as_published():
    parts = zip(EFFECTS, VARIANCES, strict=True)
    found = heterogeneity(np.sum([effect_sums(y, v) for y, v in parts], axis=0))
    assert found.sites == 13
    assert found.tau2 == pytest.approx(0.3088, abs=2e-3)
    assert found.i2 == pytest.approx(0.9212, abs=1e-3)
    parts = zip(EFFECTS, VARIANCES, strict=True)
    sums = np.sum([mean_sums(y, v, found.tau2) for y, v in parts], axis=0)
    pooled = random_effects(found, sums)
    assert pooled.mean == pytest.approx(-0.7141, abs=1e-3)
    assert pooled.std_error == pytest.approx(0.1787, abs=1e-3)
    # 2.201 is the 97.5 % quantile of t with 11 degrees of freedom
    reach = 2.201 * math.hypot(math.sqrt(found.tau2), pooled.std_error)
    assert pooled.high - pooled.mean == pytest.approx(reach, abs=1e-3)


def test_equal_estimates_are_homogeneous():
    found = heterogeneity(3 * effect_sums(0.5, 0.04))
    assert (found.tau2, found.i2) == (0.0, 0.0)
    assert found.mean == pytest.approx(0.5)
    assert found.std_error == pytest.approx(0.2 / math.sqrt(3))


def test_a_site_without_an_estimate_adds_nothing():
    assert not effect_sums(math.nan, 0.1).any()
    assert not effect_sums(0.1, 0.0).any()
    assert not mean_sums(0.1, math.inf, 0.2).any()
    message = "1 sites have an estimate; heterogeneity needs at least 2."
    with pytest.raises(FitError, match=f"^{message}$"):
        heterogeneity(effect_sums(0.5, 0.04))


def test_two_sites_predict_no_third():
    found = heterogeneity(effect_sums(0.5, 0.04) + effect_sums(0.9, 0.04))
    pooled = random_effects(found, 2 * mean_sums(0.7, 0.04, found.tau2))
    assert math.isnan(pooled.low)


def test_logits_and_back():
    value, variance = logit(0.8, 0.04)
    assert expit(value) == pytest.approx(0.8)
    assert variance == pytest.approx((0.04 / 0.16) ** 2)
    assert math.isnan(logit(1.0, 0.1)[0])
    assert expit(-1000.0) == 0.0

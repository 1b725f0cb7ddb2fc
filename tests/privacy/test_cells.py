from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.privacy.cells import (
    check_dominance,
    check_labels,
    check_patients,
    check_threshold,
    safe_count,
    safe_levels,
    safe_mean,
    safe_variance,
)
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD

PROFILES = st.sampled_from([STANDARD, RARE_DISEASE])


def test_a_patient_counts_once():
    assert check_patients(["a", "b"], STANDARD).allow
    decision = check_patients(["a", "b", "a"], STANDARD)
    assert not decision.allow
    assert decision.rule == "disclosure.1-patients"
    assert decision.reason == "2 distinct patients in 3 rows"


@pytest.mark.parametrize(
    ("profile", "least"), [(STANDARD, 10), (RARE_DISEASE, 7), (OPEN, 1)]
)
def test_the_threshold_is_the_first_that_passes(profile, least):
    assert not check_threshold(least - 1, profile).allow
    decision = check_threshold(least, profile)
    assert decision.allow
    assert decision.threshold == profile.threshold
    assert safe_count(least - 1, profile).value is None


def test_mean_and_variance_by_hand():
    # mean 50.45; deviations +-0.5 .. +-4.5 twice, variance 2 * 41.25 / 10
    values = np.arange(10.0) + 45.95
    assert safe_mean(values, 1.0, STANDARD).value == pytest.approx(50.4, abs=1e-12)
    # sqrt(8.25) = 2.87 leaves as 2.9
    assert safe_variance(values, 1.0, STANDARD).value == pytest.approx(2.9**2)
    assert safe_variance(values, 1.0, OPEN).value == pytest.approx(8.25)
    assert safe_mean(values[:9], 1.0, STANDARD).value is None
    assert safe_variance(values[:9], 1.0, STANDARD).value is None


@given(st.lists(st.floats(0, 120), min_size=7, max_size=60), PROFILES)
def test_a_mean_is_a_decimal_near_the_true_one(values, profile):
    array = np.array(values)
    safe = safe_mean(array, 1.0, profile)
    if safe.value is None:
        assert not safe.decisions[-1].allow
    else:
        assert abs(safe.value - array.mean()) <= 0.05 + 1e-9
        assert safe.value * 10 == pytest.approx(round(safe.value * 10), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "allow"),
    [
        ([1.0] * 10, True),
        ([0.0] * 10, True),  # nobody holds anything
        ([5.0] + [0.0] * 9, False),  # one holds all
        ([45.0, 45.0] + [1.25] * 8, False),  # the top two hold exactly 90 %
        ([44.0, 45.0] + [1.375] * 8, True),  # 89 %
        ([-5.0] + [0.0] * 9, False),  # size counts, not sign
        ([80.0, 1.0] + [0.9] * 8, False),  # others 7.2 of 80 are below 10 %
    ],
)
def test_dominance(values, allow):
    assert check_dominance(np.array(values), STANDARD).allow is allow
    assert check_dominance(np.array(values), OPEN).allow
    assert (safe_mean(np.array(values), 1.0, STANDARD).value is not None) is allow


def test_labels():
    assert check_labels(["a", "b", "c"], 10, STANDARD).allow
    assert not check_labels(["a", "b", "c", "d"], 12, STANDARD).allow  # a third is 3.96
    assert not check_labels([str(i) for i in range(41)], 1000, STANDARD).allow
    assert not check_labels(["x" * 81, "y"], 1000, STANDARD).allow
    assert check_labels(["x" * 80, "y"], 1000, STANDARD).allow


def test_levels_by_hand():
    safe = safe_levels({"wild": 34, "mutant": 9, "none": 0}, STANDARD)
    assert safe.value == {"wild": 30, "mutant": 0, "none": 0}
    assert safe_levels({"wild": 9, "mutant": 8}, STANDARD).value is None
    assert safe_levels({"wild": 9, "mutant": 0}, OPEN).value == {"wild": 9, "mutant": 0}


@given(
    st.dictionaries(st.text("ab", min_size=1), st.integers(0, 60), min_size=1),
    PROFILES,
    st.data(),
)
def test_a_small_level_cannot_be_felt(counts, profile, data):
    small = [label for label, n in counts.items() if n < profile.threshold]
    changed = dict(counts)
    for label in small:
        changed[label] = data.draw(st.integers(0, profile.threshold - 1))
    assert safe_levels(changed, profile).value == safe_levels(counts, profile).value

from __future__ import annotations

from dataclasses import replace

import pytest

from fednb.errors import UnknownNameError
from fednb.privacy.profiles import (
    OPEN,
    PROFILES,
    RARE_DISEASE,
    STANDARD,
    at_least_as_strict,
    profile_named,
)


def test_profiles_are_ordered():
    ordered = [OPEN, RARE_DISEASE, STANDARD]
    for i, low in enumerate(ordered):
        for j, high in enumerate(ordered):
            assert at_least_as_strict(high, low) == (j >= i)


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 9},
        {"rounding": "midpoint-6"},
        {"top_share": 0.95},
        {"p_ratio": 0.05},
        {"tail": 0.01},
        {"max_bins": 21},
        {"bin_share": 0.2},
        {"max_levels": 41},
        {"level_share": 0.5},
        {"label_length": 81},
    ],
)
def test_one_looser_parameter_is_enough(change):
    assert not at_least_as_strict(replace(STANDARD, **change), STANDARD)
    assert at_least_as_strict(STANDARD, replace(STANDARD, **change))


def test_profiles_by_name():
    assert set(PROFILES) == {"standard", "rare-disease", "open"}
    assert profile_named("standard") is STANDARD
    with pytest.raises(UnknownNameError, match="Did you mean 'standard'"):
        profile_named("standart")

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import samples

from fednb.errors import InputError, UnknownNameError
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.tables import DescribeLayout
from fednb.results.description import patient_counts

LAYOUT = DescribeLayout(("age", "sex"), ("T1c",))


def counts_of(values: list[float], hidden: list[float], profile=STANDARD):
    total = np.array([*values, *hidden], dtype=float)
    return patient_counts(LAYOUT, total, sites=3, profile=profile)


def test_shares_are_those_of_rounded_counts():
    everybody, age, sex, scanned = counts_of([200, 150, 0, 210], [0, 1, 3, 0])
    assert (everybody.n, everybody.share, everybody.sites) == (200, 1.0, 3)
    assert (age.n, age.share, age.missing, age.sites) == (150, 0.75, 0.25, 2)
    assert (sex.n, sex.sites) == (0, 0)
    assert math.isnan(sex.missing)
    # an earlier answer may be larger than that of all
    assert (scanned.share, scanned.missing) == (1.0, 0.0)


def test_where_everybody_is_suppressed_nothing_has_a_share():
    found = counts_of([0, 0, 0, 0], [3, 3, 3, 3])
    assert all(math.isnan(count.share) for count in found)
    assert {count.sites for count in found} == {0}


def test_in_the_open_profile_none_is_none():
    everybody, age, *_ = counts_of([7, 0, 3, 7], [0, 0, 0, 0], OPEN)
    assert (everybody.n, age.n, age.share, age.missing, age.sites) == (7, 0, 0.0, 1, 3)
    with pytest.raises(InputError, match="8 elements are expected"):
        patient_counts(LAYOUT, np.zeros(7), sites=3, profile=OPEN)


def test_names_are_looked_up_by_kind():
    result = samples.description("age")
    assert (result.subjects, result.columns) == (200, ("age",))
    assert result.modalities == ("age", "rare")
    assert result.column("age").n == 150
    assert result.modality("age").n == 200
    with pytest.raises(UnknownNameError, match=r"Unknown column 'ag'\..* 'age'"):
        result.column("ag")
    with pytest.raises(UnknownNameError, match="Unknown modality 'T1'"):
        result.modality("T1")


def test_a_frame_has_a_row_a_count():
    frame = samples.description("age").to_frame()
    assert frame.loc[("column", "age")].to_dict() == {
        "n": 150,
        "share": 0.75,
        "missing": 0.25,
        "sites": 2,
    }
    assert pd.isna(frame.loc[("modality", "rare"), "n"])
    opened = samples.description("age", profile="open").to_frame()
    assert opened.loc[("modality", "rare"), "n"] == 0


def test_a_text_says_sites_rounding_and_what_is_missing():
    result = samples.description("age")
    words = repr(result).splitlines()
    assert words[0] == "Description of age from 2 sites (age, b), profile standard"
    assert words[2].split() == ["counted", "name", "n", "missing", "sites"]
    assert words[3].split() == ["patients", "200", "3"]
    assert words[4].split() == ["column", "age", "150", "0.25", "2"]
    assert words[6].split() == ["modality", "rare", "<10", "-", "0"]
    assert words[8] == (
        "Each site's counts are rounded to the nearest 10. Fewer than 10 patients "
        "count as none, and so do fewer than 10 who lack something."
    )
    rare = repr(dataclasses.replace(result, profile=RARE_DISEASE.name))
    assert "rounded to the middle of 1 to 6, 7 to 12, and so on. Fewer than 7" in rare

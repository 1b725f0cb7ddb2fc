"""The oracle's pair counts against a count by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from fednb.errors import FitError, InputError
from fednb.phantom.oracle import oracle_counts, sd_of_c


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_by_hand():
    truth = frame(os_months=[1, 2, 3, 4], death=[1, 0, 1, 1], log_hazard=[2, 9, 2, 3])
    # Comparable: (1,2) wrong, (1,3) tied, (1,4) wrong, (3,4) wrong.
    counts = oracle_counts(truth)
    assert (counts.concordant, counts.comparable, counts.patients) == (0.5, 4, 4)
    assert counts.c == 0.125


def test_a_death_comes_before_a_censoring_at_the_same_time():
    truth = frame(os_months=[2, 2, 2], death=[1, 0, 1], log_hazard=[1, 0, 5])
    assert oracle_counts(truth).comparable == 2
    assert oracle_counts(truth).c == 1.0


def test_pairs_stay_within_sites():
    truth = frame(
        os_months=[1, 2, 1, 2],
        death=[1, 1, 1, 1],
        log_hazard=[2, 1, 9, 8],
        site=["A", "A", "B", "B"],
    )
    assert oracle_counts(truth).comparable == 2
    assert oracle_counts(truth.drop(columns="site")).comparable == 4


def test_nobody_died():
    truth = frame(os_months=[1, 2], death=[0, 0], log_hazard=[1, 2])
    with pytest.raises(FitError, match="None of the pairs of 2 patients"):
        _ = oracle_counts(truth).c


def test_a_column_is_missing():
    with pytest.raises(InputError, match=r"lacks \['log_hazard'\]"):
        oracle_counts(frame(os_months=[1], death=[1]))


@pytest.mark.parametrize(
    ("n", "sd"), [(100, 0.030), (200, 0.020), (400, 0.013), (25, 0.060), (1600, 0.0065)]
)
def test_sd_of_c(n, sd):
    assert sd_of_c(n) == pytest.approx(sd, rel=1e-9)


def test_sd_falls_between():
    assert 0.020 < sd_of_c(150) < 0.030
    with pytest.raises(InputError, match="n=0"):
        sd_of_c(0)

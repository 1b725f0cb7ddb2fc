import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.survival.intervals import SurvivalRows, interval_counts


def test_by_hand():
    # ends 3 and 6: time 0 and 3 fall into the first, 6 into the second, 7 beyond
    rows = SurvivalRows.of([0, 3, 4, 6, 7], [1, 0, 2, 1, 1])
    found = interval_counts(rows, [3, 6], causes=2)
    assert found.patients.tolist() == [5]
    assert found.exits.tolist() == [[2, 2]]
    assert found.at_risk.tolist() == [[5, 3]]
    assert found.deaths.tolist() == [[[1, 1]], [[0, 1]]]


def test_who_enters_late_is_at_risk_from_the_interval_of_entry():
    rows = SurvivalRows.of([5, 8, 8], [1, 0, 1], entry=[0, 3, 4])
    found = interval_counts(rows, [3, 6, 9])
    assert found.at_risk.tolist() == [[1, 3, 2]]


def test_patients_of_no_group_are_left_out():
    rows = SurvivalRows.of([1, 2, 3], [1, 1, 1], group=[0, -1, 1])
    found = interval_counts(rows, [4], groups=2)
    assert found.patients.tolist() == [1, 1]
    assert found.deaths.tolist() == [[[1], [1]]]


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 60), sites=st.integers(1, 4))
def test_sites_add_up_and_nobody_is_lost(seed: int, n: int, sites: int):
    rng = np.random.default_rng(seed)
    time, cause = rng.uniform(0, 12, n), rng.integers(0, 3, n)
    entry = np.minimum(rng.uniform(0, 12, n), time - 1e-3).clip(-1)
    kept = entry < time
    time, cause, entry = time[kept], cause[kept], entry[kept]
    group, site = rng.integers(0, 2, time.size), rng.integers(0, sites, time.size)
    ends = np.unique(rng.integers(1, 12, 5))

    def count(here):
        rows = SurvivalRows.of(time[here], cause[here], group[here], entry[here])
        return interval_counts(rows, ends, groups=2, causes=2)

    whole = count(np.ones(time.size, bool))
    parts = [count(site == k) for k in range(sites)]
    for name in ("patients", "at_risk", "deaths", "exits"):
        total = sum(getattr(part, name) for part in parts)
        np.testing.assert_array_equal(total, getattr(whole, name))
    # at risk in an interval: entered before its end, left after its beginning
    begins = np.append(-1.0, ends[:-1])
    for j, (low, high) in enumerate(zip(begins, ends, strict=True)):
        inside = (entry < high) & (time > low if low > 0 else time >= 0)
        assert whole.at_risk[:, j].sum() == np.count_nonzero(inside)


def test_rows_that_no_curve_can_use_are_refused():
    with pytest.raises(InputError) as caught:
        SurvivalRows.of([3, -1, -2], [1, 1, 0])
    assert str(caught.value) == (
        "2 survival times are negative; time runs from 0. Correct the dates that they "
        "come from."
    )
    with pytest.raises(InputError, match="1 patients enter at or after their exit"):
        SurvivalRows.of([3, 4], [1, 1], entry=[1, 4])
    with pytest.raises(InputError, match="Causes and groups must be whole"):
        SurvivalRows.of([3], [0.5])
    with pytest.raises(InputError, match=r"survival times have shape \(1,\)"):
        SurvivalRows.of([np.nan], [1])


@pytest.mark.parametrize("ends", [[], [0, 3], [3, 3], [4, np.inf], [[3]]])
def test_ends_that_do_not_ascend_are_refused(ends):
    rows = SurvivalRows.of([1], [1])
    with pytest.raises(InputError, match="ascend strictly from above 0"):
        interval_counts(rows, ends)

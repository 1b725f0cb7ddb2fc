"""Suppressed cells against linear algebra and against exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fednb.privacy.margins import check_subtraction, hidden_range, second_cells
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD
from fednb.privacy.rounding import round_count, round_counts

NONE = np.zeros(4, dtype=np.int64)


def as_array(*counts: int) -> np.ndarray:
    return np.array(counts, dtype=np.int64)


def test_the_range_by_hand():
    # 60 stands for 55-64, 30 for 25-34, 40 for 35-44: at most 64 - 60 are left over
    assert hidden_range(as_array(30, 40, 0), 60, STANDARD) == (0, 4)
    # 90 stands for 85-94: at least 85 - 78
    assert hidden_range(as_array(30, 40, 0), 90, STANDARD) == (7, 9)
    # with two small cells one of them can hold 0
    assert hidden_range(as_array(30, 40, 0, 0), 90, STANDARD) == (0, 9)
    # with 40 hidden as a second cell: at most 64 - 25 - 10 are left over
    assert hidden_range(as_array(30, 0, 0), 60, STANDARD, seconds=1) == (0, 9)


def test_a_narrowed_cell_gets_company():
    shown = as_array(30, 40, 0)[None]
    assert not check_subtraction(shown[0], 60, STANDARD).allow
    free = np.ones(shown.shape, dtype=bool)
    safe = second_cells(shown, (as_array(60), NONE[:3]), free, STANDARD)
    assert safe.value.tolist() == [[True, False, False]]
    (decision,) = safe.decisions
    assert decision.rule == "disclosure.5-totals"
    assert decision.reason == (
        "1 small cells in a row of total 60 lie within 0-4 by subtraction (0-9 is "
        "needed)"
    )
    # what is out already cannot be taken back
    free[0, 0] = False
    safe = second_cells(shown, (as_array(60), NONE[:3]), free, STANDARD)
    assert safe.value.tolist() == [[False, True, False]]


@pytest.mark.parametrize("total", [0, 70])
def test_nothing_is_suppressed_without_need(total):
    shown = as_array(30, 40, 0)[None]
    free = np.ones(shown.shape, dtype=bool)
    safe = second_cells(shown, (as_array(total), NONE[:3]), free, STANDARD)
    assert not safe.value.any()
    assert check_subtraction(shown[0], 60, OPEN).allow


def released(counts: np.ndarray, profile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a table with all its margins as it leaves, 0 where suppressed."""
    shown = round_counts(counts, profile)
    rows = round_counts(counts.sum(axis=1), profile)
    columns = round_counts(counts.sum(axis=0), profile)
    free = np.ones(shown.shape, dtype=bool)
    safe = second_cells(shown, (rows, columns), free, profile)
    return np.where(safe.value, 0, shown), rows, columns


TABLES = st.tuples(st.integers(1, 3), st.integers(2, 4)).flatmap(
    lambda shape: st.lists(
        st.one_of(st.integers(0, 9), st.integers(10, 80)),
        min_size=shape[0] * shape[1],
        max_size=shape[0] * shape[1],
    ).map(lambda cells: np.array(cells, dtype=np.int64).reshape(shape))
)


@settings(max_examples=500)
@given(counts=TABLES, profile=st.sampled_from([STANDARD, RARE_DISEASE]))
def test_no_line_of_a_table_narrows_down_a_small_cell(counts, profile):
    """Every small cell may be anything below the threshold, for who has one line."""
    shown, rows, columns = released(counts, profile)
    slack = {"nearest-10": (5, 4), "midpoint-6": (2, 3)}[profile.rounding]
    small = profile.threshold - 1
    lines = [(shown[i], counts[i], rows[i]) for i in range(len(rows))]
    lines += [(shown[:, j], counts[:, j], columns[j]) for j in range(len(columns))]
    for cells, true, total in lines:
        primary = (true < profile.threshold) & (cells == 0)
        if not total or not primary.any() or not cells.any():
            continue
        seconds = int(((true >= profile.threshold) & (cells == 0)).sum())
        low = sum(max(profile.threshold, c - slack[0]) for c in cells if c)
        high = sum(c + slack[1] for c in cells if c)
        total_low = max(profile.threshold, total - slack[0])
        total_high = total + slack[1]
        others = int(primary.sum()) - 1
        for value in (0, small):
            # the others can be chosen so that the line adds up
            least = value + low + seconds * profile.threshold
            most = 10**6 if seconds else value + high + others * small
            assert least <= total_high
            assert most >= total_low


@settings(max_examples=300)
@given(counts=TABLES)
def test_small_cells_cannot_be_solved_for(counts):
    """Linear algebra on cells and margins: no solution is nearer than rounding is."""
    shown, rows, columns = released(counts, STANDARD)
    unknown = np.flatnonzero(shown.ravel() == 0)
    assume(unknown.size)
    known = shown.ravel()[shown.ravel() > 0]
    grid = np.arange(counts.size).reshape(counts.shape)
    lines = [(grid[i], rows[i]) for i in range(len(rows)) if rows[i]]
    lines += [(grid[:, j], columns[j]) for j in range(len(columns)) if columns[j]]
    assume(lines)
    matrix = np.array([np.isin(unknown, cells) for cells, _ in lines], dtype=float)
    right = np.array([t - shown.ravel()[cells].sum() for cells, t in lines], float)
    solution, _, rank, _ = np.linalg.lstsq(matrix, right, rcond=None)
    assert known.size + unknown.size == counts.size
    for place, cell in enumerate(unknown):
        unit = np.zeros(unknown.size)
        unit[place] = 1.0
        solvable = np.linalg.matrix_rank(np.vstack([matrix, unit])) == rank
        if not solvable or counts.ravel()[cell] >= STANDARD.threshold:
            continue
        # a combination of margins does give the cell; only its rounding is left: from
        # the single lines that the rule looks at, everything below 10 stays possible
        own = [
            (shown.ravel()[cells], total, counts.ravel()[cells])
            for cells, total in lines
            if cell in cells and np.isin(unknown, cells).sum() == 1
        ]
        for cells, total, _ in own:
            if cells.any():
                assert hidden_range(cells, total, STANDARD) == (0, 9)
    assert np.isfinite(solution).all()


@given(st.lists(st.integers(10, 99), min_size=1, max_size=4), st.data())
def test_the_same_row_and_total_never_tell_none_from_few(visible, data):
    """The attacker's posterior: every hidden count fits what is shown of the row."""
    hidden = data.draw(st.integers(0, 9))
    counts = as_array(*visible, hidden)
    total = round_count(int(counts.sum()), STANDARD)
    shown = round_counts(counts, STANDARD)
    free = np.ones((1, shown.size), dtype=bool)
    margins = (as_array(total), np.zeros(shown.size, dtype=np.int64))
    second = second_cells(shown[None], margins, free, STANDARD).value[0]
    left = np.where(second, 0, shown)
    if left.any():
        seconds = int(second.sum())
        assert hidden_range(left, total, STANDARD, seconds) == (0, 9)

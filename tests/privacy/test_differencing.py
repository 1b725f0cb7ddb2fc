"""The differencing ledger as mathematics, attacked with generated cohorts."""

from __future__ import annotations

from functools import partial
from itertools import accumulate, combinations
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.privacy.cells import safe_count, safe_mean
from fednb.privacy.differencing import (
    Book,
    Series,
    check_difference,
    check_participants,
    distance,
    pack_members,
)
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD

if TYPE_CHECKING:
    from fednb.privacy.rules import Safe

PATIENTS = 64
PROFILES = st.sampled_from([STANDARD, RARE_DISEASE])
VALUES = np.random.default_rng(0).uniform(20, 90, PATIENTS)


def members(*patients: int, of: int = PATIENTS) -> np.ndarray:
    found = np.zeros(of, dtype=bool)
    found[list(patients)] = True
    return found


def mean_of(book: Book, cohort: np.ndarray, profile=STANDARD, cell: str = "age?"):
    """Ask for a mean; what is returned, and whether it was computed for this."""
    fresh = []

    def compute() -> Safe[float]:
        fresh.append(True)
        return safe_mean(VALUES[cohort], 1.0, profile)

    return book.settle(("age", cell), cohort, compute, float), bool(fresh)


@given(st.sets(st.integers(0, 299)), st.sets(st.integers(0, 199)))
def test_distance_is_that_of_python_sets(first, second):
    packed = (
        pack_members(members(*first, of=300)),
        pack_members(members(*second, of=200)),
    )
    assert distance(*packed) == distance(*packed[::-1]) == len(first ^ second)


@given(
    st.lists(st.sets(st.integers(0, 140)), max_size=40),
    st.sets(st.integers(0, 140)),
    st.integers(1, 12),
)
def test_near_finds_what_comparing_all_finds(cohorts, wanted, reach):
    series = Series()
    book = Book.blank(STANDARD, 141)
    for number, cohort in enumerate(cohorts):
        # sets made when the site had fewer patients are shorter
        length = max(cohort, default=0) + 1
        words = pack_members(members(*cohort, of=length))
        book._add(("s", str(number)), words, len(cohort), b"x")
    for answer in book.added:
        series.add(answer)
    found = series.near(pack_members(members(*wanted, of=141)), len(wanted), reach)
    assert [(d, a.cell) for d, a in found] == [
        (len(wanted ^ cohort), str(number))
        for number, cohort in enumerate(cohorts)
        if len(wanted ^ cohort) < reach
    ]


@pytest.mark.parametrize(("profile", "least"), [(STANDARD, 10), (RARE_DISEASE, 7)])
def test_the_first_difference_that_passes_is_the_threshold(profile, least):
    assert check_difference(least, profile).allow
    for near in (0, 1, least - 1):
        assert not check_difference(near, profile).allow
    assert check_difference(None, profile).allow
    decision = check_difference(3, profile, as_of=86_400.0)
    assert decision.rule == "disclosure.12-differencing"
    assert decision.reason == (
        "an earlier cohort differs by 3 patients: its answer as of "
        "1970-01-02 00:00 UTC is returned"
    )


def test_n_and_one_less_get_the_same_answer():
    book = Book.blank(STANDARD, PATIENTS)
    everybody = np.ones(PATIENTS, dtype=bool)
    first, _ = mean_of(book, everybody)
    for left_out in range(PATIENTS):
        cohort = everybody.copy()
        cohort[left_out] = False
        again, fresh = mean_of(book, cohort)
        assert (again.value, fresh) == (first.value, False)
    assert len(book.added) == 1


def test_a_cell_that_shrinks_below_the_threshold_does_not_show_it():
    book = Book.blank(STANDARD, PATIENTS)
    first, _ = mean_of(book, members(*range(10)))
    assert first.value is not None
    assert mean_of(book, members(*range(9)))[0].value == first.value
    # but another question below the threshold gets nothing out of it
    assert mean_of(book, members(*range(9)), cell="age?&sex=F")[0].value is None


def test_a_small_cell_that_grows_by_few_stays_suppressed():
    book = Book.blank(STANDARD, PATIENTS)
    assert mean_of(book, members(*range(9)))[0].value is None
    assert mean_of(book, members(*range(10)))[0].value is None
    assert mean_of(book, members(*range(19)))[0].value is not None
    # nor does it stand in the way of another question
    book = Book.blank(STANDARD, PATIENTS)
    assert mean_of(book, members(*range(9)))[0].value is None
    assert mean_of(book, members(*range(10)), cell="other")[0].value is not None


def test_a_looser_profile_leaves_nothing_to_a_stricter_one():
    everything = Series()
    loose = Book.blank(RARE_DISEASE, PATIENTS)
    assert mean_of(loose, members(*range(8)), RARE_DISEASE)[0].value is not None
    for answer in loose.added:
        everything.add(answer)
    strict = Book(STANDARD, np.arange(PATIENTS), {"age": everything})
    assert mean_of(strict, members(*range(8)))[0].value is None
    # a cell suppressed under the stricter profile may be shown under the looser
    strict = Book.blank(STANDARD, PATIENTS)
    assert mean_of(strict, members(*range(8)))[0].value is None
    everything = Series()
    for answer in strict.added:
        everything.add(answer)
    loose = Book(RARE_DISEASE, np.arange(PATIENTS), {"age": everything})
    assert mean_of(loose, members(*range(8)), RARE_DISEASE)[0].value is not None


def test_the_open_profile_keeps_no_book():
    book = Book.blank(OPEN, PATIENTS)
    for left_out in range(3):
        cohort = np.ones(PATIENTS, dtype=bool)
        cohort[left_out] = False
        found, fresh = mean_of(book, cohort, OPEN)
        assert fresh
        assert found.value == VALUES[cohort].mean()
    assert book.added == ()


def test_a_full_ledger_answers_nothing_new(monkeypatch):
    monkeypatch.setattr("fednb.privacy.differencing.MAX_ANSWERS", 1)
    series = Series()
    first = Book.blank(STANDARD, PATIENTS)
    value = mean_of(first, members(*range(30)))[0].value
    series.add(first.added[0])
    book = Book(STANDARD, np.arange(PATIENTS), {"age": series})
    assert mean_of(book, members(*range(29)))[0].value == value
    found, fresh = mean_of(book, members(*range(30, 60)))
    assert (found.value, fresh) == (None, False)
    assert not found.decisions[-1].allow


BASES = st.binary(min_size=PATIENTS // 8, max_size=PATIENTS // 8).map(
    lambda drawn: np.unpackbits(np.frombuffer(drawn, np.uint8)).astype(bool)
)
FLIP = st.lists(st.integers(0, PATIENTS - 1), max_size=14)
THOUSAND = settings(max_examples=1000)


@THOUSAND
@given(base=BASES, flip=FLIP, profile=PROFILES)
def test_nobody_is_singled_out_by_a_thousand_pairs(base, flip, profile):
    assert_nobody_shows(base, [flip], profile)


@THOUSAND
@given(base=BASES, flips=st.tuples(FLIP, FLIP), profile=PROFILES)
def test_nobody_is_singled_out_by_a_pair_of_a_thousand_triples(base, flips, profile):
    assert_nobody_shows(base, flips, profile)


def assert_nobody_shows(base, flips, profile) -> None:
    """Assert that cohorts with answers of their own differ by enough patients."""
    cohorts = list(accumulate(flips, lambda c, flip: c ^ members(*flip), initial=base))
    book = Book.blank(profile, PATIENTS)
    answered = []
    for number, cohort in enumerate(cohorts):
        cell = f"cell {number % 2}"
        found, fresh = mean_of(book, cohort, profile, cell)
        count = book.settle(
            ("count", cell),
            cohort,
            partial(safe_count, int(cohort.sum()), profile),
            int,
        )
        answered.append((cohort, found.value, fresh))
        if fresh and found.value is not None:
            assert cohort.sum() >= profile.threshold
        assert count.value is None or count.value > 0
    for (a, x, new_a), (b, y, new_b) in combinations(answered, 2):
        if new_a and new_b and x is not None and y is not None:
            assert (a ^ b).sum() >= profile.threshold
    shown = [a for a in book.added if a.value]
    for a, b in combinations(shown, 2):
        if a.statistic == b.statistic:
            assert distance(a.members, b.members) >= profile.threshold


@settings(max_examples=200)
@given(base=BASES, one=st.integers(0, PATIENTS - 1))
def test_whether_one_patient_is_there_cannot_be_felt(base, one):
    """The membership game: the second cohort's bytes do not depend on the patient."""
    first = base
    second = first ^ members(one)
    book = Book.blank(STANDARD, PATIENTS)
    answers = [mean_of(book, cohort)[0].value for cohort in (first, second, first)]
    encoded = {msgspec.msgpack.encode(answer) for answer in answers}
    assert len(encoded) == 1


@pytest.mark.parametrize(
    ("asked", "answered", "allow"),
    [
        ("abc", [], True),
        ("abc", ["abc"], True),
        ("abcd", ["abc"], False),
        ("abc", ["abcd"], False),
        ("abd", ["abc"], False),
        ("abcde", ["abc"], False),
        ("abcdef", ["abc"], True),
        ("def", ["abc"], True),
        ("abcd", ["efgh", "abcde"], False),
    ],
)
def test_sets_of_sites_are_the_same_or_three_apart(asked, answered, allow):
    assert check_participants(asked, answered, STANDARD).allow is allow
    assert check_participants(asked, answered, OPEN).allow


def test_a_site_that_would_show_is_named():
    decision = check_participants("abcd", ["abc"], STANDARD)
    assert decision.reason == (
        "This statistic was summed over a, b, c; the set asked for differs by d alone, "
        "whose part would show. Ask the same sites, or at least 3 others."
    )

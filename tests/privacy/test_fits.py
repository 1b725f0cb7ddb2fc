"""Rule 12 for fits: near cohorts are one cohort, and distinct fits are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.privacy.differencing import Answer, Series, distance, pack_members
from fednb.privacy.fits import EVALUATED, FITTED, FitBook, Past
from fednb.privacy.profiles import OPEN, RARE_DISEASE, STANDARD

PATIENTS = 60
EVERYBODY = np.ones(PATIENTS, dtype=bool)


def past(*known: str, limit: int = 3, design: str = "a design") -> Past:
    return Past(design, frozenset(known), limit)


def book(*cohorts: np.ndarray, profile=STANDARD, known: Past | None = None) -> FitBook:
    series = Series()
    for members in cohorts:
        words = pack_members(members)
        series.add(Answer(FITTED, "", words, int(members.sum()), b"fitted", 10))
    places = np.arange(PATIENTS)
    return FitBook(profile, places, {FITTED: series}, known or past())


def first(n: int) -> np.ndarray:
    return np.arange(PATIENTS) < n


def test_a_far_cohort_is_fitted_as_asked_and_taken_down():
    made = book(first(30))
    safe = made.patients(FITTED, first(40), EVERYBODY)
    assert safe.value.tolist() == first(40).tolist()
    assert [a.size for a in made.added] == [40]


@pytest.mark.parametrize("asked", [39, 40, 41, 49])
def test_a_near_cohort_is_fitted_on_the_earlier_one(asked):
    made = book(first(40))
    safe = made.patients(FITTED, first(asked), EVERYBODY)
    assert safe.value.tolist() == first(40).tolist()
    assert made.added == ()
    assert f"differs by {abs(asked - 40)} patients" in safe.decisions[0].reason


def test_the_oldest_near_cohort_binds_whatever_came_later():
    made = book(first(40), first(47))
    assert made.patients(FITTED, first(47), EVERYBODY).value.sum() == 40


def test_where_a_patient_of_it_lacks_a_value_the_fit_is_refused():
    able = EVERYBODY.copy()
    able[3] = False
    safe = book(first(40)).patients(FITTED, first(40) & able, able)
    assert safe.value is None
    assert [d.allow for d in safe.decisions] == [False]
    assert safe.decisions[0].rule == "disclosure.12-differencing"


def test_where_a_patient_of_it_is_gone_the_fit_is_refused():
    series = Series()
    series.add(Answer(FITTED, "", pack_members(first(40)), 40, b"fitted", 10))
    places = np.arange(1, PATIENTS)
    made = FitBook(STANDARD, places, {FITTED: series}, past())
    asked = first(40)[1:]
    assert made.patients(FITTED, asked, EVERYBODY[1:]).value is None


def test_cohorts_of_fits_and_of_evaluations_are_two_series():
    made = book(first(40))
    assert made.patients(EVALUATED, first(41), EVERYBODY).value.sum() == 41


def test_the_rare_disease_profile_takes_its_own_threshold():
    made = book(first(40), profile=RARE_DISEASE)
    assert made.patients(FITTED, first(46), EVERYBODY).value.sum() == 40
    assert made.patients(FITTED, first(47), EVERYBODY).value.sum() == 47


def test_the_open_profile_fits_every_cohort_as_asked():
    made = book(first(40), profile=OPEN)
    assert made.patients(FITTED, first(39), EVERYBODY).value.sum() == 39


def test_the_same_fit_again_is_free_and_variants_are_counted():
    made = book()
    assert made.draw([first(40)]).allow
    name = made.fit
    full = book(known=past(name, "b", "c"))
    assert full.draw([first(40)]).allow
    assert full.fit == name
    # more patients in the table, and one's place in the sets, change no name
    wider = FitBook(STANDARD, np.arange(PATIENTS + 900), {}, past())
    wider.draw([np.arange(PATIENTS + 900) < 40])
    assert wider.fit == name
    for cohorts in ([first(50)], [first(40), first(50)]):
        refused = full.draw(cohorts)
        assert not refused.allow
        assert refused.rule == "disclosure.19-fits"
        assert refused.reason == (
            "3 of 3 distinct fits of this outcome were asked for; raise max_fits in "
            "policy.toml"
        )
    other = book(known=past(name, "b", "c", design="another"))
    assert not other.draw([first(40)]).allow


@given(
    st.lists(
        st.lists(st.booleans(), min_size=PATIENTS, max_size=PATIENTS),
        min_size=2,
        max_size=3,
    )
)
def test_no_two_cohorts_on_which_fits_were_made_single_anybody_out(drawn):
    answered: list[np.ndarray] = []
    for members in map(np.array, drawn):
        made = book(*answered)
        # near ones too: two patients of the last cohort swap in and out
        near = (answered[-1] if answered else members).copy()
        near[:2] ^= True
        for asked in (members, near):
            made = book(*answered)
            answered.append(made.patients(FITTED, asked, EVERYBODY).value)
    words = [pack_members(members) for members in answered]
    for one in words:
        for other in words:
            assert distance(one, other) == 0 or distance(one, other) >= 10


TIMES = np.arange(PATIENTS, dtype=float)
ONE = np.zeros(PATIENTS, dtype=np.int64)


def cut(made: FitBook, *ends: float, group=ONE, members=EVERYBODY, series="ends"):
    return made.cut(series, members, ends, (TIMES, group))


def after(*ends: float, members=EVERYBODY, **options) -> FitBook:
    """Return a book of one fit that had these ends."""
    first_book = book(**options)
    assert cut(first_book, *ends, members=members).allow
    (answer,) = first_book.added
    series = Series()
    series.add(answer)
    return FitBook(STANDARD, np.arange(PATIENTS), {"ends": series}, past())


def test_ends_of_a_fit_hold_the_threshold_between_them():
    # patients 0 to 9 leave until 9.5, 10 to 19 until 19.5
    assert cut(book(), 9.5, 19.5).allow
    refused = cut(book(), 9.5, 18.5)
    assert not refused.allow
    assert refused.rule.startswith("disclosure.10")
    assert refused.reason.startswith("9 patients leave between two ends of this fit")
    # what lies behind the last end was never parted from it
    assert cut(book(), 58.5).allow


@pytest.mark.parametrize(
    ("ends", "allow"),
    [((29.5,), True), ((20.5,), False), ((19.5,), True), ((39.5, 49.5), True)],
)
def test_ends_of_two_fits_are_looked_at_together(ends, allow):
    assert cut(book(), *ends).allow
    made = after(19.5)
    assert cut(made, *ends).allow == allow
    # the same again adds nothing
    assert len(made.added) == (ends != (19.5,))


def test_ends_of_another_cohort_or_follow_up_do_not_count():
    assert cut(after(19.5), 20.5, series="ends of another").allow
    late = np.arange(PATIENTS) >= 20
    assert cut(after(29.5, members=late), 20.5).allow
    # one that is near is the same
    assert not cut(after(19.5, members=first(59)), 20.5).allow


def test_ends_are_looked_at_in_each_stratum():
    group = np.arange(PATIENTS) % 2
    assert cut(book(), 19.5, group=group).allow
    assert not cut(book(), 18.5, group=group).allow


@given(st.lists(st.integers(0, 59), min_size=1, max_size=4), st.data())
def test_no_two_answered_grids_part_fewer_than_the_threshold(ends, data):
    own = sorted({end + 0.5 for end in ends})
    if not cut(book(), *own).allow:
        return
    made = after(*own)
    other = sorted({end + 0.5 for end in data.draw(st.lists(st.integers(0, 59)))})
    if not other or not cut(made, *other).allow:
        return
    # a difference of two cumulative counts is 0, or at least the threshold
    below = [int((end >= TIMES).sum()) for end in (*own, *other)]
    apart = {abs(a - b) for a in below for b in below}
    assert not apart & set(range(1, 10))

"""Formulas are read, never evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.errors import PlanError
from fednb.records.formula import Factor, parse, term_text, term_width


def texts(formula: str) -> list[str]:
    return [term_text(term) for term in parse(formula)]


@pytest.mark.parametrize(
    ("formula", "terms"),
    [
        ("age", ["age"]),
        (" age+sex ", ["age", "sex"]),
        ("age + age + sex", ["age", "sex"]),
        ("age:sex + sex:age", ["age:sex"]),
        ("age * sex", ["age", "sex", "age:sex"]),
        ("a * b * c", ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]),
        ("C(grade) + ph.ecog", ["C(grade)", "ph.ecog"]),
        ("`tumour volume`:sex", ["`tumour volume`:sex"]),
        ("ns(age, 40, 60.5)", ["ns(age, 40, 60.5)"]),
        ("bs(age, knots=[-4, 1e1])", ["bs(age, -4, 10)"]),
        ("bs(age, knots=(4, 5))*sex", ["bs(age, 4, 5)", "sex", "bs(age, 4, 5):sex"]),
    ],
)
def test_what_is_written_is_what_is_read(formula, terms):
    assert texts(formula) == terms
    # what a term says is a formula again
    assert texts(" + ".join(terms)) == terms


@pytest.mark.parametrize(
    ("formula", "place", "wanted", "seen"),
    [
        ("", 1, "a column name", "its end"),
        ("age + ", 6, "a column name", "its end"),
        ("age - sex", 5, "names, numbers and + : * ( ) , = only", "'- sex'"),
        ("age sex", 5, "'+'", "'sex'"),
        ("log(age)", 1, "C(name), bs(name, knots) or ns(name, knots)", "'log(age)'"),
        ("0 + age", 1, "a column name", "'0 + age'"),
        ("age +5", 6, "a column name", "'5'"),
        ("ns(age)", 7, "','", "')'"),
        ("ns(age, a)", 9, "a knot (a number)", "'a)'"),
        ("ns(age, 3, 2)", 9, "knots in increasing order", "'3, 2)'"),
        ("bs(age, [1, 2)", 14, "']'", "')'"),
        ("C(age", 6, "')'", "its end"),
        ("a:b:c:d", 8, "at most 3 factors in an interaction", "its end"),
        ("__import__('os')", 12, "names, numbers and + : * ( ) , = only", "\"'os')\""),
        ("a.__class__()", 1, "C(name), bs(name, knots) or ns(name, knots)", None),
    ],
)
def test_an_error_says_where_and_what(formula, place, wanted, seen):
    with pytest.raises(PlanError) as error:
        parse(formula)
    found = str(error.value)
    assert f"cannot be read at character {place}: {wanted} expected, " in found
    assert found.endswith(f"{seen or repr(formula[:20])} found.")


def test_a_formula_has_an_end():
    with pytest.raises(PlanError, match=r"^The formula has 2001 characters"):
        parse("a" * 2001)
    with pytest.raises(PlanError, match=r"^The formula has 61 terms; at most 60"):
        parse(" + ".join(f"a{i}" for i in range(61)))


def test_widths_follow_levels_and_knots():
    levels = {"grade": ("2", "3", "4")}
    (term,) = parse("C(grade):ns(age, 40, 60)")
    assert term_width(term, levels) == 2 * 3
    assert Factor("age").width(levels) == 1
    assert Factor("grade").width(levels) == 2
    assert Factor("age", "bs", (1.0, 2.0)).width(levels) == 5


@settings(max_examples=200)
@given(st.text(alphabet="ab+:*()C,ns 12.[]=`-_'\"", max_size=24))
def test_any_text_is_a_formula_or_a_plan_error(text):
    try:
        terms = parse(text)
    except PlanError:
        return
    assert texts(" + ".join(map(term_text, terms))) == list(map(term_text, terms))

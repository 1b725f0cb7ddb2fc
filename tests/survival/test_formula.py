"""Designs from formulas, against scipy's B-splines and formulaic's model matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from scipy.interpolate import BSpline, CubicSpline

from fednb.errors import PlanError, UnknownNameError
from fednb.records.datasets import Column
from fednb.records.formula import parse
from fednb.survival.formula import b_spline, level_codes, natural_spline, terms_of

COLUMNS = (
    Column("age", "number", lower=18.0, upper=90.0),
    Column("dose", "number", lower=-2.0, upper=3.0),
    Column("sex", "binary"),
    Column("grade", "category", levels=("2", "3", "4")),
    Column("arm", "category", levels=("a", "b")),
    Column("lone", "category", levels=("x",)),
)
LEVELS = {"grade": ("2", "3", "4"), "arm": ("a", "b")}


def rows(n: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "age": rng.uniform(18, 90, n),
            "dose": rng.uniform(-2, 3, n),
            "sex": rng.integers(0, 2, n).astype(float),
            "grade": rng.choice(["2", "3", "4"], n),
            "arm": rng.choice(["a", "b"], n),
        }
    )


def build(formula: str, frame: pd.DataFrame, levels=LEVELS):
    terms = terms_of(parse(formula), COLUMNS, levels)
    table = {name: frame[name].to_numpy() for name in frame}
    return terms, terms.build(table, len(frame))


@pytest.mark.parametrize(
    "formula",
    [
        "age + sex + dose",
        "grade",
        "C(grade) + age",
        "age * dose",
        "age * C(grade)",
        "grade * arm + dose",
        "sex * grade * arm",
        "age:sex + dose",
    ],
)
def test_designs_are_those_of_formulaic(formula):
    frame = rows()
    terms, ours = build(formula, frame)
    theirs = model_matrix(formula, frame).drop(columns="Intercept")
    assert set(terms.names()) == set(theirs.columns)
    np.testing.assert_allclose(ours, theirs[list(terms.names())], atol=1e-12)


def test_every_value_lies_within_its_public_bounds():
    formula = "age * grade + dose * age + ns(age, 40, 60) + bs(dose, 0) + sex"
    terms, values = build(formula, rows(400))
    low, high = np.array(terms.bounds()).T
    assert values.shape == (400, len(terms.names()))
    assert (values >= low - 1e-12).all()
    assert (values <= high + 1e-12).all()
    only = values[:, np.array(terms.binary())]
    assert np.isin(only, (0.0, 1.0)).all()
    assert only.shape[1] == 3


@pytest.mark.parametrize("knots", [(40.0,), (30.0, 45.0, 70.0)])
def test_b_splines_are_those_of_scipy(knots):
    x = np.linspace(18, 90, 201)
    t = [18.0] * 4 + list(knots) + [90.0] * 4
    theirs = BSpline.design_matrix(x, t, 3).toarray()[:, 1:]
    np.testing.assert_allclose(b_spline(x, knots, 18.0, 90.0), theirs, atol=1e-12)
    beyond = b_spline(np.array([5.0, 200.0, np.nan]), knots, 18.0, 90.0)
    np.testing.assert_allclose(beyond[:2], theirs[[0, -1]], atol=1e-12)
    assert np.isnan(beyond[2]).all()


@pytest.mark.parametrize("knots", [(40.0,), (30.0, 45.0, 70.0)])
def test_natural_splines_span_scipys(knots):
    x = np.linspace(18, 90, 201)
    t = np.array([18.0, *knots, 90.0])
    theirs = CubicSpline(t, np.eye(t.size), bc_type="natural")(x)
    ours = np.column_stack([np.ones(201), natural_spline(x, knots, 18.0, 90.0)])
    assert ours.shape == theirs.shape
    back, *_ = np.linalg.lstsq(ours, theirs, rcond=None)
    np.testing.assert_allclose(ours @ back, theirs, atol=1e-9)
    far = natural_spline(np.array([100.0, 110.0, 120.0]), knots, 18.0, 90.0)
    np.testing.assert_allclose(np.diff(far, n=2, axis=0), 0, atol=1e-9)


def test_missing_values_and_other_labels_are_missing_rows():
    frame = rows(4)
    frame.loc[0, "age"] = np.nan
    frame.loc[1, "grade"] = "5"
    frame.loc[2, "grade"] = ""
    _, values = build("age + grade", frame)
    assert np.isnan(values).any(axis=1).tolist() == [True, True, True, False]


def test_numbers_are_clipped_to_the_bounds():
    frame = rows(2).assign(age=[5.0, 130.0])
    _, values = build("age", frame)
    assert values[:, 0].tolist() == [18.0, 90.0]


def test_the_order_of_levels_names_the_reference():
    terms, values = build("grade", rows(), {"grade": ("4", "2", "3")})
    assert terms.names() == ("grade[T.2]", "grade[T.3]")
    frame = rows()
    assert (values.sum(axis=1) == 0).tolist() == (frame["grade"] == "4").tolist()


def test_codes_of_binaries():
    sex = COLUMNS[2]
    values = np.array([0.0, 1.0, np.nan, 2.0])
    assert level_codes(values, sex, ("1", "0")).tolist() == [1, 0, -1, -1]
    terms, _ = build("C(sex)", rows(), {"sex": ("0", "1")})
    assert terms.names() == ("C(sex)[T.1]",)


@pytest.mark.parametrize(
    ("formula", "levels", "message"),
    [
        ("grade", {}, "Covariate 'grade' has 0 levels; at least 2 are needed"),
        ("lone", {"lone": ("x",)}, "Covariate 'lone' has 1 levels"),
        ("ns(age, 10)", {}, "knots between its bounds; 'age' is a number of 18 to 90"),
        ("bs(sex, 0.5)", {}, "splines need a number column"),
        ("age:grade", LEVELS, "which needs age in the fit too. Add it, or write age"),
        ("grade + arm:grade", LEVELS, "which needs arm in the fit too"),
    ],
)
def test_terms_that_cannot_be_coded_are_refused(formula, levels, message):
    with pytest.raises(PlanError) as error:
        terms_of(parse(formula), COLUMNS, levels)
    assert message in str(error.value)


def test_unknown_names_are_named():
    with pytest.raises(UnknownNameError, match=r"Unknown covariate 'agee'\. Did you"):
        terms_of(parse("agee"), COLUMNS, {})
    with pytest.raises(UnknownNameError, match="Unknown level '9'"):
        terms_of(parse("grade"), COLUMNS, {"grade": ("2", "9")})

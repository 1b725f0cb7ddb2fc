import numpy as np
import pytest
from oracle_rows import codes, of_r

from fednb.errors import FitError, InputError
from fednb.survival.coxph import fit
from fednb.survival.ph_test import (
    PhSums,
    ph_size,
    ph_sums,
    ph_test,
)
from fednb.survival.riskset import RiskSets
from fednb.survival.rows import check_rows

COLUMNS = ["x1", "x2"]


def checked(rows, *, entry=False, strata=True):
    return check_rows(
        len(rows),
        rows["time"],
        rows["cause"] == 1,
        rows["entry"] if entry else None,
        None,
        codes(rows["site"]) if strata else None,
    )


@pytest.mark.parametrize(
    ("fit", "transform"),
    [
        ("efron", "identity"),
        ("breslow", "identity"),
        ("efron", "log"),
        ("entry", "identity"),
    ],
)
def test_the_test_equals_cox_zph_of_r(fit: str, transform: str):
    rows, expected = of_r("rows"), of_r("zph")
    expected = expected[expected["name"] == f"{fit} {transform}"]
    beta = of_r("cox").set_index("name").loc[fit]
    late = fit == "entry"
    ties = "breslow" if fit == "breslow" else "efron"
    table = checked(rows, entry=late, strata=not late)
    sums = ph_sums(rows[COLUMNS], table, beta, transform=transform, ties=ties)
    # the coefficients are a maximum
    assert np.abs(sums.score).max() < 1e-6
    found = ph_test(sums, COLUMNS)
    every = expected.set_index("column")
    np.testing.assert_allclose(
        found.test_statistic, every.loc[COLUMNS, "chisq"], rtol=1e-7
    )
    np.testing.assert_allclose(found.p_value, every.loc[COLUMNS, "p"], rtol=1e-7)
    assert found.global_statistic == pytest.approx(every.loc["GLOBAL", "chisq"], 1e-7)
    assert found.global_p_value == pytest.approx(every.loc["GLOBAL", "p"], 1e-7)
    assert found.degrees_freedom == 2


def test_sites_add_up_to_the_stratified_test():
    rows = of_r("rows")
    beta = of_r("cox").set_index("name").loc["efron"]
    whole = ph_sums(rows[COLUMNS], checked(rows), beta)
    parts = [
        sums_of(part[COLUMNS], part["time"], part["cause"] == 1, beta)
        for _, part in rows.groupby("site")
    ]
    total = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(total.to_vector(), whole.to_vector(), rtol=1e-12)
    back = PhSums.from_vector(total.to_vector(), 2)
    first, second = ph_test(back, COLUMNS), ph_test(whole, COLUMNS)
    assert first.global_statistic == pytest.approx(second.global_statistic, rel=1e-9)


def test_case_weights_count_patients_twice():
    rows = of_r("rows").assign(time=lambda r: r["time"] + r.index / 1000)
    beta = [0.5, 0.5]
    twice = rows.loc[rows.index.repeat(2)]
    weighted = check_rows(
        len(rows), rows["time"], rows["cause"] == 1, None, np.full(len(rows), 2), None
    )
    doubled = check_rows(len(twice), twice["time"], twice["cause"] == 1, *[None] * 3)
    first = ph_sums(rows[COLUMNS], weighted, beta, ties="breslow").to_vector()
    second = ph_sums(twice[COLUMNS], doubled, beta, ties="breslow").to_vector()
    np.testing.assert_allclose(first, second, rtol=1e-9)


def test_the_origin_of_time_does_not_matter_at_a_point_beside_the_maximum():
    rows = of_r("rows")
    beta = of_r("cox").set_index("name").loc["efron"] + 0.02
    late = rows.assign(time=rows["time"] + 100)
    first = ph_test(ph_sums(rows[COLUMNS], checked(rows), beta), COLUMNS)
    second = ph_test(ph_sums(late[COLUMNS], checked(late), beta), COLUMNS)
    assert first.global_statistic == pytest.approx(second.global_statistic, rel=1e-6)


def sums_of(x, time, event, beta) -> PhSums:
    rows = check_rows(len(time), time, event, None, None, None)
    return ph_sums(x, rows, beta)


def crossing(size: int):
    """Return rows whose hazard ratio falls with time."""
    rng = np.random.default_rng(8)
    x = rng.integers(0, 2, size).astype(float)
    time = np.where(x == 1, rng.weibull(0.6, size), rng.weibull(1.6, size)) * 10
    return x[:, None], time


def test_an_effect_that_fades_is_found_and_a_constant_one_is_not():
    x, time = crossing(400)
    event = np.ones(400)
    beta = fit([RiskSets(x, time, event)], names=["x"]).coefficients
    fading = ph_test(sums_of(x, time, event, beta), ["x"])
    assert fading.p_value[0] < 1e-6
    steady = np.random.default_rng(9).exponential(10, 400) / np.exp(0.7 * x[:, 0])
    beta = fit([RiskSets(x, steady, event)], names=["x"]).coefficients
    constant = ph_test(sums_of(x, steady, event, beta), ["x"])
    assert constant.p_value[0] > 0.05


def test_a_column_that_follows_from_the_others_is_refused():
    x, time = crossing(60)
    both = np.hstack([x, 1 - x])
    sums = sums_of(both, time, np.ones(60), [0.1, 0.0])
    with pytest.raises(FitError, match=r"Proportional hazards of 'x'.* cannot be"):
        ph_test(sums, ["x", "y"])


def test_without_deaths_there_is_nothing_to_test():
    x, time = crossing(20)
    sums = sums_of(x, time, np.zeros(20), [0.3])
    assert not sums.to_vector().any()
    with pytest.raises(FitError, match="the deaths lie at too few times"):
        ph_test(sums, ["x"])


def test_wrong_input_is_refused():
    rows = check_rows(2, [1, 2], [1, 1], None, None, None)
    with pytest.raises(InputError, match=r"coefficients of shape \(2,\) do not fit"):
        ph_sums([[1.0], [2.0]], rows, [0.1, 0.2])
    with pytest.raises(InputError, match=r"one of identity, log .* got 'km'"):
        ph_sums([[1.0], [2.0]], rows, [0.1], transform="km")
    with pytest.raises(InputError, match=f"{ph_size(2)} numbers are expected"):
        PhSums.from_vector(np.zeros(3), 2)

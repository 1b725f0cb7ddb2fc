import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from fednb.errors import FitError, InputError
from fednb.survival.logistic import fit, logistic_sums
from fednb.survival.newton import NewtonOptions

TRUTH = np.array([-0.5, 1.0, -0.7, 0.2])


def draw(seed: int, n: int) -> tuple:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    return x, (rng.random(n) < 1 / (1 + np.exp(-x @ TRUTH))).astype(float)


@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_fits_equal_scikit_learn(ridge: float):
    x, y = draw(1, 400)
    options = NewtonOptions(ridge=(0.0, ridge, ridge, ridge))
    mine = fit([(x, y)], options, ["1", "a", "b", "c"])
    oracle = LogisticRegression(
        C=1 / ridge if ridge else np.inf, solver="newton-cholesky", tol=1e-12
    )
    oracle.fit(x[:, 1:], y)
    np.testing.assert_allclose(mine.coefficients[1:], oracle.coef_[0], atol=1e-6)
    assert mine.coefficients[0] == pytest.approx(oracle.intercept_[0], abs=1e-6)
    chance = oracle.predict_proba(x[:, 1:])[:, 1]
    information = (x * (chance * (1 - chance))[:, None]).T @ x
    information += np.diag(options.penalty(4))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(mine.standard_errors, errors, rtol=1e-6)
    loss = -np.log(np.where(y == 1, chance, 1 - chance)).sum()
    assert mine.log_likelihood == pytest.approx(-loss, abs=1e-5)
    assert (mine.n, mine.names) == (400, ("1", "a", "b", "c"))


def test_one_binary_column_by_hand():
    # 2x2 table 30/10 against 10/30: log odds ratio ln 9, variance the sum of 1/n
    x = np.column_stack([np.ones(80), np.repeat([0.0, 1.0], 40)])
    y = np.repeat([1.0, 0.0, 1.0, 0.0], [10, 30, 30, 10])
    result = fit([(x, y)])
    np.testing.assert_allclose(result.coefficients, [-np.log(3), np.log(9)])
    assert result.covariance[1, 1] == pytest.approx(2 / 10 + 2 / 30)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), sites=st.integers(1, 5))
def test_sites_add_up_to_the_pooled_fit(seed: int, sites: int):
    x, y = draw(seed, 120 * sites)
    pooled = fit([(x, y)])
    split = fit([(x[k::sites], y[k::sites]) for k in range(sites)])
    np.testing.assert_allclose(split.coefficients, pooled.coefficients, atol=1e-8)
    np.testing.assert_allclose(split.covariance, pooled.covariance, atol=1e-8)


def test_large_margins_do_not_overflow():
    x = np.array([[1.0], [-1.0]])
    right = logistic_sums(x, [1, 0], [2000.0])
    wrong = logistic_sums(x, [0, 1], [2000.0])
    assert right.log_likelihood == 0
    assert wrong.log_likelihood == -4000
    assert wrong.score[0] == -2
    # 1 - p keeps its digits far out: e^-40 is below the spacing of numbers at 1
    far = logistic_sums([[1.0]], [1], [40.0])
    assert far.score[0] == pytest.approx(np.exp(-40), rel=1e-12)


def test_separated_designs_are_refused():
    x, _ = draw(3, 60)
    with pytest.raises(FitError, match=r"separated: the coefficients of .*'a'"):
        fit([(x, (x[:, 1] > 0.1).astype(float))], names=["1", "a", "b", "c"])
    with pytest.raises(FitError, match="separated: the coefficients of '1' grow"):
        fit([(x[:, :1], np.ones(60))], names=["1"])


def test_rank_deficient_designs_are_refused():
    x, y = draw(4, 60)
    x[:, 3] = x[:, 1] + x[:, 2]
    with pytest.raises(FitError, match="rank-deficient: 'a', 'b', 'c' have no spread"):
        fit([(x, y)], names=["1", "a", "b", "c"])


def test_malformed_input_is_refused():
    with pytest.raises(InputError, match=r"seen: \(3, 3\), \(2,\) and \(3,\)"):
        logistic_sums(np.eye(3), [0, 1], np.zeros(3))
    with pytest.raises(InputError, match="A finite design of n x p"):
        logistic_sums(np.full((2, 1), np.nan), [0, 1], [0.0])
    with pytest.raises(InputError, match="Outcomes must be 0 or 1"):
        logistic_sums(np.eye(2), [0, 2], np.zeros(2))
    with pytest.raises(InputError, match="At least one site's design"):
        fit([])
    with pytest.raises(InputError, match="1 names were given for 2 columns"):
        fit([(np.eye(2), [0, 1])], names=["a"])

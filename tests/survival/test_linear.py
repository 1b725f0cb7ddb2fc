"""Equal rows have equal linear predictors wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fednb.survival.coxph import CoxEstimate
from fednb.survival.linear import linear


@settings(max_examples=60)
@given(
    n=st.integers(2, 60),
    p=st.integers(1, 9),
    begin=st.integers(0, 8),
    seed=st.integers(0, 10**6),
)
def test_equal_rows_are_equal_to_the_last_bit(n, p, begin, seed):
    """A product of matrices fails this in one case of fifteen or so."""
    rng = np.random.default_rng(seed)
    memory = np.empty(n * p + 16)
    x = memory[begin : begin + n * p].reshape(n, p)
    x[:] = rng.normal(size=p)
    beta = rng.normal(size=p)
    assert np.unique(linear(x, beta)).size == 1
    assert np.unique(linear(np.asfortranarray(x), beta)).size == 1
    fit = CoxEstimate(
        names=tuple(map(str, range(p))),
        coefficients=beta,
        covariance=np.eye(p),
        center=rng.normal(size=p),
        log_likelihood=0.0,
        log_likelihood_penalised=0.0,
        log_likelihood_null=0.0,
        n=n,
        events=1,
        evaluations=1,
    )
    assert np.unique(fit.log_hazard(x)).size == 1


def test_it_is_the_product_of_a_matrix():
    rng = np.random.default_rng(0)
    x, beta = rng.normal(size=(50, 4)), rng.normal(size=4)
    np.testing.assert_allclose(linear(x, beta), x @ beta, atol=1e-12)
    # by hand the same, and in floating point not
    several = np.array([[0.5, 2.0], [1.5, 0.0], [1.0, 1.0]])
    assert linear(several, np.array([0.8, 0.4])).tolist() == [1.2] * 3
    assert linear(np.zeros((3, 0)), np.zeros(0)).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="zip"):
        linear(x, beta[:3])

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.survival.sums import LikelihoodSums, vector_length

EXAMPLE = LikelihoodSums(
    np.array([1.26, -2.0]), np.array([[4.04, 0.5], [0.5, 9.0]]), -7.31
)


def test_the_layout_of_the_vector():
    assert EXAMPLE.to_vector().tolist() == [1.26, -2.0, 4.04, 0.5, 9.0, -7.31]
    assert vector_length(2) == 6


@given(p=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_the_vector_reads_back(p: int, seed: int):
    vector = np.random.default_rng(seed).normal(size=vector_length(p))
    sums = LikelihoodSums.from_vector(vector, p)
    np.testing.assert_array_equal(sums.to_vector(), vector)
    np.testing.assert_array_equal(sums.information, sums.information.T)


def test_a_vector_of_the_wrong_length_is_refused():
    message = r"shape \(5,\) does not hold the sums of 2 columns: 6 numbers"
    with pytest.raises(InputError, match=message):
        LikelihoodSums.from_vector(np.zeros(5), 2)


def test_sums_add():
    total = EXAMPLE + EXAMPLE
    np.testing.assert_array_equal(total.to_vector(), 2 * EXAMPLE.to_vector())
    with pytest.raises(InputError, match="2 and of 1 columns cannot be added"):
        EXAMPLE + LikelihoodSums.zero(1)


def test_rounding():
    rounded = EXAMPLE.rounded(0.1).to_vector()
    np.testing.assert_allclose(rounded, [1.3, -2.0, 4.0, 0.5, 9.0, -7.3])
    assert EXAMPLE.rounded(0.0) is EXAMPLE


def test_rounding_hides_the_sign_of_small_numbers():
    small = LikelihoodSums(np.array([-0.01]), np.zeros((1, 1)), -0.02).rounded(0.1)
    assert not np.signbit(small.to_vector()).any()


@pytest.mark.parametrize("step", [-0.1, np.nan, np.inf])
def test_a_bad_rounding_step_is_refused(step: float):
    with pytest.raises(InputError, match="it must be 0 or positive"):
        EXAMPLE.rounded(step)


def test_finiteness():
    assert EXAMPLE.is_finite
    assert not LikelihoodSums(np.zeros(1), np.zeros((1, 1)), np.nan).is_finite

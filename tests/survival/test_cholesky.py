import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.survival.cholesky import dependent_columns, dot, factorise


@given(p=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_solutions_and_inverses_equal_numpys(p: int, seed: int):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(p, p + 4)) * rng.uniform(0.01, 100, (p, 1))
    matrix, right = root @ root.T, rng.normal(size=p)
    factor = factorise(matrix)
    np.testing.assert_allclose(matrix @ factor.solve(right), right, atol=1e-7)
    np.testing.assert_allclose(
        factor.inverse(), np.linalg.inv(matrix), rtol=1e-6, atol=1e-9
    )


def test_known_solution():
    factor = factorise(np.array([[4.0, 2.0], [2.0, 5.0]]))
    np.testing.assert_allclose(factor.solve(np.array([8.0, 12.0])), [1.0, 2.0])


def test_dot_is_exact_where_a_running_sum_is_not():
    assert dot(np.array([1e16, 1.0, -1e16]), np.ones(3)) == 1.0


@pytest.mark.parametrize(
    ("matrix", "columns"),
    [
        ([[1.0, 0.0], [0.0, 0.0]], [1]),
        ([[0.0, 0.0], [0.0, 0.0]], [0, 1]),
        ([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [2.0, 0.0, 4.0]], [0, 2]),
        ([[2.0, 0.0, 2.0], [0.0, 2.0, 2.0], [2.0, 2.0, 4.0]], [0, 1, 2]),
        ([[-1.0]], [0]),
    ],
)
def test_singular_matrices_are_found_and_explained(matrix: list, columns: list):
    array = np.array(matrix)
    assert factorise(array) is None
    assert dependent_columns(array) == columns


def test_the_floor_refuses_what_rounding_cannot_tell_from_zero():
    matrix = np.diag([5.0, 0.1])
    assert factorise(matrix) is not None
    assert factorise(matrix, floor=0.1) is None
    assert dependent_columns(matrix) == [0, 1] or dependent_columns(matrix) == [1]

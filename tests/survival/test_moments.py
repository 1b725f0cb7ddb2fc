import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import FitError, InputError
from fednb.survival.moments import column_moments, combine


@given(
    seed=st.integers(0, 10**6),
    sites=st.integers(1, 5),
    centre=st.sampled_from([0.0, 60.0, 1e5]),
)
def test_sites_combine_to_the_pooled_moments(seed: int, sites: int, centre: float):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(centre, 3, (rng.integers(2, 30), 2)) for _ in range(sites)]
    pooled = np.concatenate(parts)
    for shift in (0.0, centre):
        moments = [column_moments(part, shift) for part in parts]
        for given_moments in (moments, [np.sum(moments, axis=0)]):
            result = combine(given_moments, shift)
            mean = pooled.mean(axis=0)
            # a mean near 0 is a difference of what is not
            np.testing.assert_allclose(result.mean, mean, rtol=1e-12, atol=1e-13)
            tolerance = 1e-4 if shift != centre else 1e-9
            spread = pooled.std(axis=0, ddof=1)
            np.testing.assert_allclose(result.std, spread, rtol=tolerance)
            assert result.n == len(pooled)


def test_moments_by_hand():
    vector = column_moments([[1.0, 10.0], [3.0, 14.0]])
    assert vector.tolist() == [2, 4, 24, 10, 296]
    result = combine([vector])
    np.testing.assert_allclose(result.mean, [2, 12])
    np.testing.assert_allclose(result.std, np.sqrt([2, 8]))
    np.testing.assert_allclose(result.apply([[2.0, 12.0]]), [[0, 0]])


def test_an_empty_site_adds_nothing():
    full = column_moments([[1.0], [3.0]])
    assert combine([full, column_moments(np.zeros((0, 1)))]).n == 2


def test_a_constant_column_is_named():
    x = np.column_stack([[0.1, 0.1, 0.1], [1.0, 2.0, 3.0]])
    with pytest.raises(FitError) as error:
        combine([column_moments(x), column_moments(x)], names=["site", "age"])
    assert str(error.value).startswith(
        "Constant over all sites: 'site'. Leave it out of the design. Where sites round"
    )
    with pytest.raises(FitError, match="Constant over all sites: column 0"):
        combine([column_moments(x)])


def test_malformed_moments_are_refused():
    with pytest.raises(InputError, match=r"the shape seen is \(3,\)"):
        column_moments(np.zeros(3))
    with pytest.raises(InputError, match="Moments of one design"):
        combine([])
    with pytest.raises(InputError, match="Moments of one design"):
        combine([np.zeros(3), np.zeros(5)])
    with pytest.raises(FitError, match="1 patients count for column 0; a standard"):
        combine([column_moments([[1.0]])])

from __future__ import annotations

import numpy as np
from scipy import stats

from fednb.site.tasks.secret import SecretStream

KEY = bytes(range(32))


def test_the_same_key_and_scope_give_the_same_numbers():
    one, two = (SecretStream(KEY, "noise", "place").normal(100) for _ in range(2))
    assert np.array_equal(one, two)


def test_another_key_or_scope_gives_others():
    base = SecretStream(KEY, "noise", "place").normal(100)
    for stream in (
        SecretStream(bytes(32), "noise", "place"),
        SecretStream(KEY, "coins", "place"),
        SecretStream(KEY, "noise", "elsewhere"),
        SecretStream(KEY, "noiseplace"),
    ):
        assert abs(np.corrcoef(base, stream.normal(100))[0, 1]) < 0.5


def test_numbers_are_standard_normal_and_uniform():
    stream = SecretStream(KEY, "noise")
    normal = stream.normal(200_000)
    assert normal.dtype == np.float32
    assert stats.kstest(normal, "norm").pvalue > 0.001
    assert abs(normal.std() - 1) < 0.01
    lagged = np.corrcoef(normal[:-1], normal[1:])[0, 1]
    assert abs(lagged) < 0.01
    uniform = stream.uniform(200_000)
    assert stats.kstest(uniform, "uniform").pvalue > 0.001
    assert 0 < uniform.min() < uniform.max() < 1


def test_a_stream_goes_on_where_it_was():
    stream = SecretStream(KEY, "coins")
    halves = np.concatenate([stream.uniform(10), stream.uniform(10)])
    assert np.array_equal(halves, SecretStream(KEY, "coins").uniform(20))

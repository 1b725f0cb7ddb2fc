from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import InputError
from fednb.privacy.fixed_point import CHUNK, FixedPoint, totals, updates


def test_known_values_round_half_to_even():
    ring = FixedPoint(bits=32, step_bits=1, parties=1)
    encoded = ring.encode(np.array([0.25, 0.75, 1.25, -0.25, -0.75, -1.0]))
    assert encoded.dtype == np.uint32
    assert encoded.tolist() == [0, 2, 2, 0, 2**32 - 2, 2**32 - 2]
    assert ring.decode(encoded).tolist() == [0.0, 1.0, 1.0, 0.0, -1.0, -1.0]


def test_defaults():
    assert updates(3).step == 2**-24
    assert updates(3).limit == pytest.approx(128, rel=1e-8)
    assert totals(4).step == 2**-30
    assert totals(4).limit == pytest.approx(2**33, rel=1e-8)
    assert totals(4).dtype == np.uint64


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("parties", [1, 3, 7, 20])
def test_largest_values_of_all_parties_do_not_wrap(bits, parties):
    ring = FixedPoint(bits=bits, step_bits=20, parties=parties)
    largest = math.nextafter(ring.limit / parties, 0) if bits == 64 else None
    value = largest if largest is not None else ring.limit / parties
    for sign in (1, -1):
        encoded = ring.encode(np.array([sign * value]))
        total = np.zeros_like(encoded)
        for _ in range(parties):
            total += encoded
        assert ring.decode(total)[0] == pytest.approx(sign * value * parties, rel=1e-9)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, "over", "under"])
def test_overflow_is_refused_without_naming_the_value(bits, bad):
    ring = FixedPoint(bits=bits, step_bits=20, parties=3)
    bound = ring.limit / 3
    value = {"over": bound * 1.001, "under": -bound * 1.001}.get(bad, bad)
    values = np.zeros(CHUNK + 5)
    values[-1] = value
    with pytest.raises(InputError, match=r"range of a secure sum of 3 parties") as info:
        ring.encode(values)
    assert str([value]) in info.value.detail
    assert str(value) not in str(info.value)


def test_a_float32_maximum_is_refused():
    values = np.array([np.finfo(np.float32).max], dtype=np.float32)
    with pytest.raises(InputError):
        updates(3).encode(values)


@given(
    st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=30),
    st.sampled_from([np.float32, np.float64]),
)
def test_one_encoding_is_within_half_a_step(values, dtype):
    ring = updates(3)
    given_values = np.array(values, dtype=dtype)
    back = ring.decode(ring.encode(given_values))
    assert np.abs(back - given_values).max() <= ring.step / 2


def test_shape_is_kept_and_chunks_agree():
    ring = totals(3)
    values = np.random.default_rng(0).normal(size=(2, CHUNK + 3))
    expected = np.rint(values * 2**30).astype(np.int64).view(np.uint64)
    assert np.array_equal(ring.encode(values), expected)
    assert ring.encode(np.zeros((0,))).shape == (0,)


@pytest.mark.parametrize(
    ("bits", "step_bits", "parties"), [(16, 2, 3), (32, 31, 3), (32, -1, 3), (32, 4, 0)]
)
def test_impossible_rings_are_refused(bits, step_bits, parties):
    with pytest.raises(InputError):
        FixedPoint(bits=bits, step_bits=step_bits, parties=parties)


def test_a_sum_of_another_type_is_refused():
    with pytest.raises(InputError, match="A sum of uint32 is expected; got uint64"):
        updates(3).decode(np.zeros(2, np.uint64))


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=50),
    st.sampled_from([updates(3), totals(3)]),
)
def test_float32_is_encoded_as_the_same_numbers_in_float64(values, ring):
    narrow = np.array(values, dtype=np.float32)
    assert np.array_equal(ring.encode(narrow), ring.encode(narrow.astype(np.float64)))


def test_a_float32_at_the_bound_is_held_to_the_exact_bound():
    ring = FixedPoint(bits=32, step_bits=0, parties=3)
    # 715827882 is the most; its neighbours in float32 are 64 apart
    below, above = np.float32(715827840), np.float32(715827904)
    assert ring.encode(np.array([below, -below])).astype("<i4").tolist() == [
        715827840,
        -715827840,
    ]
    for value in (above, -above, np.float32(np.inf), np.float32(np.nan)):
        with pytest.raises(InputError):
            ring.encode(np.array([value], dtype=np.float32))


def test_memory_is_reused_only_where_it_is_allowed_and_fits():
    ring = updates(3)
    given_ = np.linspace(-1, 1, 70_001, dtype=np.float32)
    wanted = ring.encode(given_)
    assert given_[0] == -1
    own = given_.copy()
    assert np.shares_memory(found := ring.encode(own, reuse=True), own)
    assert np.array_equal(found, wanted)
    locked = given_.copy()
    locked.flags.writeable = False
    assert np.array_equal(ring.encode(locked, reuse=True), wanted)
    assert np.array_equal(locked, given_)
    wide = given_.astype(np.float64)
    assert np.array_equal(ring.encode(wide, reuse=True), wanted)
    assert np.array_equal(wide, given_)

"""What `save_once` writes, the library's own reader reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from fednb.errors import WireError
from fednb.wire.tensors import KINDS, save_once


def test_every_kind_and_shape_comes_back():
    arrays = {
        kind: np.arange(6).reshape(shape).astype(kind)
        for kind, shape in zip(KINDS, [(6,), (2, 3), (1, 6, 1)] * 3, strict=False)
    }
    arrays |= {"scalar": np.array(3.5), "none": np.zeros((0, 3), np.float32)}
    arrays["turned"] = np.arange(12.0).reshape(3, 4).T
    arrays["big-endian"] = np.arange(5, dtype=">f8")
    found = load(bytes(save_once(arrays)))
    assert set(found) == set(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype.newbyteorder("=")
        assert found[name].shape == values.shape
        assert np.array_equal(found[name], values)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
        hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)),
        max_size=4,
    )
)
def test_all_bits_come_back(arrays):
    found = load(bytes(save_once(arrays)))
    assert {n: (v.shape, v.tobytes()) for n, v in found.items()} == {
        n: (v.shape, v.tobytes()) for n, v in arrays.items()
    }


def test_objects_and_text_are_refused():
    with pytest.raises(WireError, match="An array of <U1 is not kept"):
        save_once({"a": np.array(["x"])})

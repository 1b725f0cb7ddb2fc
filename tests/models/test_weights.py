from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fednb.errors import InputError
from fednb.models.weights import (
    flatten,
    layout,
    load_flat,
    split_flat,
    unflatten,
)


def toy() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_the_flat_array_has_names_sorted_and_no_counters():
    net = toy()
    names = ["0.bias", "0.weight", "1.bias", "1.running_mean", "1.running_var"]
    assert [name for name, _ in layout(net)] == [*names, "1.weight"]
    net[0].bias.data = torch.tensor([1.0, 2.0, 3.0])
    flat = flatten(net.state_dict())
    assert flat.dtype == np.float32
    assert flat.size == 3 + 6 + 4 * 3
    assert flat[:3].tolist() == [1.0, 2.0, 3.0]


def test_loading_a_flat_array_is_the_inverse():
    net = toy()
    flat = np.arange(21, dtype=np.float32)
    flat.flags.writeable = False
    load_flat(net, flat)
    assert np.array_equal(flatten(net.state_dict()), flat)
    assert net[0].weight.tolist() == [[3, 4], [5, 6], [7, 8]]


def test_a_flat_array_splits_in_the_order_of_the_parameters():
    net = toy()
    parts = split_flat(net, np.arange(21, dtype=np.float32))
    assert [p.shape for p in parts] == [p.shape for p in net.parameters()]
    assert parts[1].tolist() == [0, 1, 2]


def test_wrong_sizes_and_values_are_refused():
    with pytest.raises(InputError, match=r"has 21 weights; an array of shape \(20,\)"):
        load_flat(toy(), np.zeros(20, dtype=np.float32))
    with pytest.raises(InputError, match="not all finite"):
        load_flat(toy(), np.full(21, np.nan, dtype=np.float32))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=4))
def test_unflatten_is_the_inverse_of_flatten(shapes: list[tuple[int, int]]):
    rng = np.random.default_rng(0)
    state = {f"t{i}": rng.normal(size=s).astype("f4") for i, s in enumerate(shapes)}
    named = tuple((k, v.shape) for k, v in state.items())
    back = unflatten(flatten(state), named)
    assert all(np.array_equal(back[k], state[k]) for k in state)

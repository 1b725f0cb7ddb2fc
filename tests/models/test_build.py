from __future__ import annotations

import numpy as np
import pytest
import torch

from fednb.errors import InputError, UnknownNameError
from fednb.models.build import build
from fednb.models.weights import flatten, state_of
from fednb.records.specs import ModelSpec

# MONAI decorates with torch.jit, which newer torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SMALL = ModelSpec("small-cnn-3d")


def test_the_demo_network_has_the_size_that_was_measured():
    net = build(SMALL, 4, 0, 0)
    convolutions = 27 * (4 * 16 + 16 * 32 + 32 * 64 + 64 * 96)
    norms = 2 * (16 + 32 + 64 + 96)
    bottleneck = 96 * 8 + 8
    count = sum(p.numel() for p in net.parameters())
    assert count == convolutions + norms + bottleneck + 8 + 1


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = (flatten(build(SMALL, 2, 0, s).state_dict()) for s in (7, 7, 8))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.rand(3), expected)


def test_logits_and_embeddings_have_their_shapes():
    net = build(ModelSpec("small-cnn-3d", {"embedding": 5}), 2, 3, 0)
    images, covariates = torch.randn(4, 2, 16, 16, 16), torch.randn(4, 3)
    units = net.embed(images, covariates)
    assert units.shape == (4, 5)
    logits = net(images, covariates)
    assert logits.shape == (4, 1)
    by_hand = torch.cat([units, covariates], dim=1) @ net.head.weight.T + net.head.bias
    assert torch.allclose(logits, by_hand)


def test_missing_covariates_are_refused():
    net = build(SMALL, 1, 2, 0)
    with pytest.raises(InputError, match="takes 2 covariates; it was given 0"):
        net(torch.zeros(1, 1, 16, 16, 16))


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("resnet10-3d", {"widen_factor": 0.125}),
        ModelSpec("densenet121-3d", {"growth_rate": 4, "init_features": 8}),
        ModelSpec("monai:DenseNet", {"block_config": [2, 2], "growth_rate": 8}),
    ],
    ids=lambda spec: spec.name,
)
def test_networks_of_monai_are_built_without_batch_norm(spec: ModelSpec):
    net = build(spec, 2, 0, 3).eval()
    images = torch.randn(2, 2, 32, 32, 32)
    with torch.no_grad():
        assert net.embed(images).shape == (2, 8)
        assert net(images).shape == (2, 1)
    assert not [m for m in net.modules() if "BatchNorm" in type(m).__name__]
    assert not [name for name in state_of(net) if "running" in name]
    again = build(spec, 2, 0, 3)
    assert np.array_equal(flatten(net.state_dict()), flatten(again.state_dict()))


def test_what_cannot_be_built_is_an_input_error():
    with pytest.raises(UnknownNameError, match="Unknown model"):
        build(ModelSpec("cnn"), 1, 0, 0)
    with pytest.raises(InputError, match="channels >= 1"):
        build(SMALL, 0, 0, 0)

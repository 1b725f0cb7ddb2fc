"""Builds networks: same spec and seed, same weights, bit for bit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from fednb.errors import InputError
from fednb.models.code import load
from fednb.models.registry import MODELS, validate
from fednb.records.code import Code

if TYPE_CHECKING:
    from fednb.models.registry import Network
    from fednb.records.specs import ModelSpec

_RARE = -2.0
"""Baseline at first, complementary log-log: one in eight dies in an interval."""


class ImageNetwork(nn.Module):
    """An image trunk, a linear bottleneck, and one logit.

    Parameters
    ----------
    trunk
        Maps (n, channels, X, Y, Z) to (n, width).
    width
        Bottleneck units.
    covariates
        Number of covariates that join at the bottleneck.
    intervals
        Size of the discrete-time baseline that survival losses train along with the
        network, ``baseline``; 0 for none.
    """

    def __init__(
        self, trunk: nn.Module, width: int, covariates: int, intervals: int = 0
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(width + covariates, 1)
        self.width = width
        self.covariates = covariates
        self.baseline: nn.Parameter | None = None
        if intervals:
            self.baseline = nn.Parameter(torch.full((intervals,), _RARE))

    def embed(self, images: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Return the bottleneck, shape (n, width); covariates have no part in it."""
        del covariates
        units: Tensor = self.trunk(images)
        return units

    def decide(self, units: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Return logits, shape (n, 1), from bottleneck units (n, width).

        Raises
        ------
        InputError
            The number of covariates is not what the network was built for.
        """
        given = 0 if covariates is None else covariates.shape[1]
        if given != self.covariates:
            message = (
                f"The network takes {self.covariates} covariates; it was given {given}."
            )
            raise InputError(message)
        if covariates is not None and given:
            units = torch.cat([units, covariates.to(units.dtype)], dim=1)
        logits: Tensor = self.head(units)
        return logits

    @override
    def forward(self, images: Tensor, covariates: Tensor | None = None) -> Tensor:
        """Return logits, shape (n, 1)."""
        return self.decide(self.embed(images), covariates)


def build(
    spec: ModelSpec | Code, channels: int, covariates: int, seed: int
) -> ImageNetwork:
    """Return the network of a spec with weights drawn from `seed`.

    Torch's global generator is left as it was.

    Parameters
    ----------
    spec
        Name and arguments, see `fednb.models.registry`; or the requester's own code,
        in a confined process.
    channels
        Input channels (modalities), at least 1.
    covariates
        Covariates that join at the bottleneck; 0 for none.
    seed
        Of the weights.

    Raises
    ------
    UnknownNameError
        No network or argument has that name.
    InputError
        An argument lies outside its range.
    IntegrityError
        Code is to run where it may not.
    """
    arguments: dict[str, Any] = validate(spec)
    width, intervals = arguments.pop("embedding"), arguments.pop("intervals", 0)
    if channels < 1 or covariates < 0:
        message = f"A network needs channels >= 1; got {channels} and {covariates}."
        raise InputError(message)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = _trunk(spec, arguments, channels, width)
        return ImageNetwork(trunk, width, covariates, intervals)


def _trunk(
    spec: ModelSpec | Code, arguments: dict[str, Any], channels: int, width: int
) -> nn.Module:
    """Return what maps (n, channels, X, Y, Z) to (n, width)."""
    if isinstance(spec, Code):
        made = load(spec)(channels=channels, embedding=width, **arguments)
        if not isinstance(made, nn.Module):
            message = f"{spec.name} must be a torch.nn.Module; got {type(made)}."
            raise InputError(message)
        return _without_batch_norm(made)
    network = MODELS[spec.name]
    if network.monai:
        return _monai(network, arguments, channels, width)
    return _small_cnn(channels, width, arguments)


def _small_cnn(channels: int, width: int, arguments: dict[str, Any]) -> nn.Module:
    """Return strided convolution blocks, global average pooling and a bottleneck."""
    layers: list[nn.Module] = []
    before = channels
    for after in arguments["widths"]:
        layers += [
            nn.Conv3d(before, after, 3, stride=2, padding=1, bias=False),
            _group_norm(after),
            nn.ReLU(inplace=True),
        ]
        before = after
    layers += [nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    if arguments["dropout"]:
        layers.append(nn.Dropout(arguments["dropout"]))
    return nn.Sequential(*layers, nn.Linear(before, width))


def _monai(
    network: Network, arguments: dict[str, Any], channels: int, width: int
) -> nn.Module:
    """Return a class of MONAI whose output is the bottleneck."""
    # MONAI takes 150 MB of memory: only who asks for one of its networks pays.
    from monai.networks import nets

    sizes = {network.channels: channels, network.outputs: width}
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    make = getattr(nets, network.monai)
    trunk: nn.Module = make(**lists, **network.fixed, **sizes)
    return _without_batch_norm(trunk)


def _without_batch_norm(module: nn.Module) -> nn.Module:
    """Replace batch norms, whose statistics differ from site to site."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001
            setattr(module, name, _group_norm(child.num_features))
        else:
            _without_batch_norm(child)
    return module


def _group_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of at most 8 groups (Wu 2018)."""
    return nn.GroupNorm(math.gcd(8, channels), channels)

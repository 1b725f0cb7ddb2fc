"""Networks by name: an allow-list of names and arguments. Imports no torch.

``"small-cnn-3d"`` is the demo's; ``"resnet10-3d"``, ``"resnet18-3d"`` and
``"densenet121-3d"`` are MONAI's; ``"monai:<Class>"`` names further classes of
``monai.networks.nets`` with the arguments listed here and no others (law 7). Every
network normalises by groups, not by batches, and ends in a linear bottleneck of
`embedding` units, which covariates join before the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fednb.errors import InputError, UnknownNameError
from fednb.records.code import Code

if TYPE_CHECKING:
    from fednb.records.specs import ModelSpec

Value = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True)
class Parameter:
    """One argument of a network.

    Parameters
    ----------
    default
        Its value where a spec leaves it out; its type is the argument's type.
    lower, upper
        Range of a number, or of each number of a list.
    choices
        Allowed texts; empty for numbers and lists.
    length
        Allowed number of elements of a list, from and to.
    """

    default: Value
    lower: float = 0.0
    upper: float = math.inf
    choices: tuple[str, ...] = ()
    length: tuple[int, int] = (1, 8)

    def read(self, where: str, value: object) -> Value:
        """Return `value` as the argument's type.

        Raises
        ------
        InputError
            It has the wrong type or lies outside its range.
        """
        if self.choices:
            if value not in self.choices:
                raise UnknownNameError(where, str(value), self.choices)
            return str(value)
        if isinstance(self.default, tuple):
            return self._read_list(where, value)
        kind = type(self.default)
        given = float(value) if kind is float and type(value) is int else value
        if type(given) is not kind or not self._inside(given):
            message = f"{where} must be {self._wanted()}; got {value!r}."
            raise InputError(message)
        return given

    def _read_list(self, where: str, value: object) -> Value:
        items = list(value) if isinstance(value, list | tuple) else []
        least, most = self.length
        right = least <= len(items) <= most and all(
            type(item) is int and self._inside(item) for item in items
        )
        if not right:
            message = (
                f"{where} must be a list of {least} to {most} whole numbers from "
                f"{self.lower:g} to {self.upper:g}; got {value!r}."
            )
            raise InputError(message)
        return tuple(items)

    def _inside(self, value: Any) -> bool:  # noqa: ANN401
        return bool(self.lower <= value <= self.upper)

    def _wanted(self) -> str:
        if isinstance(self.default, bool):
            return "true or false"
        noun = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{noun} from {self.lower:g} to {self.upper:g}"


@dataclass(frozen=True)
class Network:
    """An entry of the registry.

    Parameters
    ----------
    name, summary
        As a spec names it, and one line about it.
    monai
        Name in ``monai.networks.nets``; empty: fednb's own.
    parameters
        Arguments by name.
    fixed
        Arguments that a spec cannot change.
    channels, outputs
        What the class calls its numbers of input channels and of outputs.
    """

    name: str
    summary: str
    monai: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    channels: str = "in_channels"
    outputs: str = "out_channels"


_EMBEDDING: Final = Parameter(8, 1, 64)
_INTERVALS: Final = Parameter(0, 0, 60)
_DROPOUT: Final = Parameter(0.0, 0.0, 0.9)
_DENSE: Final = {
    "init_features": Parameter(64, 8, 128),
    "growth_rate": Parameter(32, 4, 64),
    "dropout_prob": _DROPOUT,
}
_RESNET: Final = {
    "conv1_t_size": Parameter(7, 3, 9),
    "conv1_t_stride": Parameter(1, 1, 2),
    "widen_factor": Parameter(1.0, 0.125, 2.0),
}


def _resnet(name: str, function: str, summary: str) -> Network:
    return Network(
        name,
        summary,
        function,
        _RESNET,
        {"spatial_dims": 3, "shortcut_type": "B"},
        "n_input_channels",
        "num_classes",
    )


def _dense(name: str, monai: str, summary: str) -> Network:
    return Network(name, summary, monai, _DENSE, {"spatial_dims": 3})


def _squeeze(monai: str) -> Network:
    parameters = {"dropout_prob": _DROPOUT, "reduction": Parameter(16, 2, 32)}
    summary = "Squeeze-and-excitation residual network (Hu 2018)."
    fixed = {"spatial_dims": 3}
    return Network(
        f"monai:{monai}", summary, monai, parameters, fixed, outputs="num_classes"
    )


_NETWORKS: Final = (
    Network(
        "small-cnn-3d",
        "Four strided convolution blocks of 16, 32, 64 and 96 channels.",
        parameters={
            "widths": Parameter((16, 32, 64, 96), 1, 512, length=(1, 6)),
            "dropout": _DROPOUT,
        },
    ),
    _resnet("resnet10-3d", "resnet10", "Residual network of 10 layers (He 2016)."),
    _resnet("resnet18-3d", "resnet18", "Residual network of 18 layers (He 2016)."),
    _dense("densenet121-3d", "DenseNet121", "DenseNet of 121 layers (Huang 2017)."),
    _resnet("monai:resnet34", "resnet34", "Residual network of 34 layers (He 2016)."),
    _resnet("monai:resnet50", "resnet50", "Residual network of 50 layers (He 2016)."),
    _dense("monai:DenseNet121", "DenseNet121", "DenseNet of 121 layers (Huang 2017)."),
    _dense("monai:DenseNet169", "DenseNet169", "DenseNet of 169 layers (Huang 2017)."),
    Network(
        "monai:DenseNet",
        "DenseNet with blocks of your own (Huang 2017).",
        "DenseNet",
        _DENSE | {"block_config": Parameter((6, 12, 24, 16), 1, 64)},
        {"spatial_dims": 3},
    ),
    Network(
        "monai:EfficientNetBN",
        "EfficientNet (Tan 2019), with its batch norms replaced.",
        "EfficientNetBN",
        {
            "model_name": Parameter(
                "efficientnet-b0",
                choices=tuple(f"efficientnet-b{i}" for i in range(5)),
            )
        },
        {"spatial_dims": 3, "pretrained": False},
        outputs="num_classes",
    ),
    _squeeze("SEResNet50"),
)

MODELS: Final[dict[str, Network]] = {network.name: network for network in _NETWORKS}
"""Every network by the name that contracts use."""


def validate(spec: ModelSpec | Code) -> dict[str, Value]:
    """Return all arguments of a spec, defaults filled in.

    Every network has ``"embedding"``, its bottleneck units, and ``"intervals"``, the
    size of its discrete-time baseline; 0 for none.

    Raises
    ------
    UnknownNameError
        No network or argument has that name.
    InputError
        An argument has the wrong type or lies outside its range.
    PlanError
        A network of the requester's own has problems; each is told by its line.
    """
    if isinstance(spec, Code):
        return _of_code(spec)
    network = MODELS.get(spec.name)
    if network is None:
        raise UnknownNameError("model", spec.name, MODELS)
    everywhere = {"embedding": _EMBEDDING, "intervals": _INTERVALS}
    known = network.parameters | everywhere
    for name in spec.params:
        if name not in known:
            what = f"argument of {spec.name!r}"
            raise UnknownNameError(what, name, known)
    return {
        name: parameter.read(f"{spec.name}: {name}", spec.params[name])
        if name in spec.params
        else parameter.default
        for name, parameter in known.items()
    }


def _of_code(code: Code) -> dict[str, Value]:
    """Return the arguments of a requester's own network; its class checks the rest."""
    code.check()
    given = code.params.get("embedding", _EMBEDDING.default)
    plain: dict[str, Any] = dict(code.params)
    return plain | {"embedding": _EMBEDDING.read(f"{code.name}: embedding", given)}


def embedding_width(spec: ModelSpec | Code) -> int:
    """Return the number of bottleneck units of a spec's network, 1 to 64.

    Raises
    ------
    InputError
        As `validate`.
    """
    width = validate(spec)["embedding"]
    assert isinstance(width, int)  # noqa: S101 - its default is, and read() keeps types
    return width

"""Weights of a network as one flat float32 array.

A network's state is its floating parameters and buffers, in sorted name order;
counters (integer buffers) are left out. The module itself imports no torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    Flat = NDArray[np.float32]
    Layout = tuple[tuple[str, tuple[int, ...]], ...]


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the floating tensors of a module by name, sorted, as views."""
    state = module.state_dict()
    return {k: state[k] for k in sorted(state) if state[k].is_floating_point()}


def layout(module: nn.Module) -> Layout:
    """Return name and shape of each tensor, in the order of the flat array."""
    return tuple((k, tuple(v.shape)) for k, v in state_of(module).items())


def flatten(state: Mapping[str, Tensor | NDArray[Any]]) -> Flat:
    """Return tensors or arrays by name as one array, names sorted, shape (P,).

    Integer tensors are left out.
    """
    parts: list[Flat] = []
    for name in sorted(state):
        value: Any = state[name]
        if not isinstance(value, np.ndarray):
            if not value.is_floating_point():
                continue
            value = value.detach().cpu().float().numpy()
        if np.issubdtype(value.dtype, np.floating):
            parts.append(value.reshape(-1).astype(np.float32, copy=False))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def unflatten(flat: Flat, shapes: Layout) -> dict[str, Flat]:
    """Return the flat array as views by name.

    Raises
    ------
    InputError
        The number of elements does not fit the layout.
    """
    sizes = [math.prod(shape) for _, shape in shapes]
    if flat.ndim != 1 or flat.size != sum(sizes):
        message = (
            f"The network has {sum(sizes)} weights; an array of shape {flat.shape} "
            "was given. Use the weights of the same network."
        )
        raise InputError(message)
    ends = np.cumsum(sizes)
    return {
        name: flat[end - size : end].reshape(shape)
        for (name, shape), size, end in zip(shapes, sizes, ends, strict=True)
    }


def load_flat(module: nn.Module, flat: Flat) -> None:
    """Copy a flat array into the module's parameters and buffers.

    Raises
    ------
    InputError
        The number of elements does not fit, or a value is not finite.
    """
    import torch

    if not np.isfinite(flat).all():
        message = "The weights are not all finite. Use a lower learning rate."
        raise InputError(message)
    # Torch warns about views of read-only memory, so it gets a copy.
    values = unflatten(np.array(flat, dtype=np.float32), layout(module))
    with torch.no_grad():
        for name, tensor in state_of(module).items():
            tensor.copy_(torch.from_numpy(values[name]))


def split_flat(module: nn.Module, flat: Flat) -> Sequence[Tensor]:
    """Return a flat array as tensors in the order of ``module.parameters()``.

    Raises
    ------
    InputError
        The number of elements does not fit.
    """
    import torch

    values = unflatten(np.array(flat, dtype=np.float32), layout(module))
    return [
        torch.from_numpy(values[name]).to(parameter.device)
        for name, parameter in module.named_parameters()
    ]

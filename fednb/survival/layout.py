"""Named blocks of numbers in one vector, the same at every site."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fednb.survival.sums import Floats


@dataclass(frozen=True)
class Layout:
    """The order and shapes of blocks.

    Parameters
    ----------
    blocks
        Name and shape of each, in order.
    """

    blocks: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return sum(math.prod(shape) for _, shape in self.blocks)

    def join(self, values: Mapping[str, Floats]) -> Floats:
        """Return the blocks in one vector, shape (size,).

        Parameters
        ----------
        values
            A block for each name.

        Raises
        ------
        InputError
            A block is missing or has another shape.
        """
        parts = []
        for name, shape in self.blocks:
            block = np.asarray(values.get(name, np.nan), dtype=np.float64)
            if name not in values or block.shape != shape:
                message = f"Block {name!r} has shape {block.shape}; {shape} is needed."
                raise InputError(message)
            parts.append(block.reshape(-1))
        return np.concatenate(parts)

    def split(self, vector: Floats) -> dict[str, Floats]:
        """Return the blocks of a vector.

        Parameters
        ----------
        vector
            Shape (size,).

        Raises
        ------
        InputError
            The vector has another length.
        """
        if vector.shape != (self.size,):
            message = f"A vector of shape {vector.shape} has not {self.size} elements."
            raise InputError(message)
        found, start = {}, 0
        for name, shape in self.blocks:
            end = start + math.prod(shape)
            found[name] = vector[start:end].reshape(shape)
            start = end
        return found

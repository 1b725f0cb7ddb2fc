"""Large matrices in memory of their own.

What the C library frees it often keeps for itself, a little in each thread; with many
sites in one process that is more than the data. A mapping goes back to the system at
once when its last array is let go.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from fednb.survival.sums import Floats

LEAST: Final = 2**20
"""Bytes from which a matrix has a mapping."""


def matrix(rows: int, columns: int) -> Floats:
    """Return a matrix to be filled, shape (rows, columns), a row after the other.

    Its transpose is one that has a column after the other.
    """
    size = 8 * rows * columns
    if size < LEAST:
        return np.empty((rows, columns))
    return np.frombuffer(mmap.mmap(-1, size), np.float64).reshape(rows, columns)

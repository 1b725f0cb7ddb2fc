"""Sums by bin, running sums by group, and weighted cross products, in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fednb.survival.rows import Ints
    from fednb.survival.sums import Floats

BLOCK = 16384
"""Patients a block of the Gram matrices: bounds the memory beside the data."""


def bin_sums(bins: Ints, values: Floats, size: int) -> Floats:
    """Sum ``values`` by bin, shape (size,)."""
    sums = np.bincount(bins, weights=values, minlength=size)
    return np.asarray(sums, dtype=np.float64)


def cumulate(values: Floats, starts: Ints) -> Floats:
    """Cumulative sum that starts afresh at each of ``starts``, same shape."""
    out = np.empty_like(values)
    ends = np.append(starts, values.size)[1:]
    for start, end in zip(starts, ends, strict=True):
        np.cumsum(values[start:end], out=out[start:end])
    return out


def gram(columns: Floats, weights: Floats) -> Floats:
    """``columns @ diag(weights) @ columns.T`` in blocks, shape (p, p).

    Parameters
    ----------
    columns
        Shape (p, n).
    weights
        Shape (n,).
    """
    total = np.zeros((columns.shape[0], columns.shape[0]))
    for start in range(0, columns.shape[1], BLOCK):
        block = columns[:, start : start + BLOCK]
        total += (block * weights[start : start + BLOCK]) @ block.T
    return total

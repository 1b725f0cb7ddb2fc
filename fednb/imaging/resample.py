"""Separable linear resampling and smoothing as small matrices, in numpy alone."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@lru_cache(maxsize=256)
def linear_weights(n_in: int, n_out: int) -> Floats:
    """Return the (n_out, n_in) matrix that resamples one axis linearly.

    Voxel centres are aligned to the field of view, which stays the same. Where the
    axis shrinks, the triangle widens with it, so that no voxel is skipped.
    """
    step = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * step - 0.5
    # Outside the first and last centre the edge voxel is repeated, not faded out.
    centres = np.clip(centres, 0.0, n_in - 1.0)
    distance = np.abs(centres[:, None] - np.arange(n_in)[None, :])
    weights = np.clip(1.0 - distance / max(1.0, step), 0.0, None)
    matrix = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=256)
def gaussian_weights(n: int, sigma: float) -> Floats:
    """Return the (n, n) matrix that smooths one axis; `sigma` in voxels, 0 for none."""
    if sigma <= 0.0:
        matrix = np.eye(n, dtype=np.float32)
    else:
        index = np.arange(n)
        distance = (index[:, None] - index[None, :]) / sigma
        weights = np.exp(-0.5 * distance**2)
        matrix = np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
    matrix.setflags(write=False)
    return matrix


def apply_axes(array: Floats, matrices: Sequence[Floats]) -> Floats:
    """Apply one matrix to each of the last three axes of `array` (..., X, Y, Z)."""
    first, second, third = matrices
    out = np.matmul(array, third.T)
    out = np.matmul(second, out)
    moved = np.moveaxis(out, -3, -1)
    # einsum and tensordot copy here too; this keeps all three steps in BLAS.
    out = np.moveaxis(np.matmul(moved, first.T), -1, -3)
    return np.ascontiguousarray(out, dtype=np.float32)


def resample(array: Floats, shape: tuple[int, int, int]) -> Floats:
    """Resample the last three axes of `array` (..., X, Y, Z) to `shape`, linearly."""
    before = array.shape[-3:]
    if before == shape:
        return array
    pairs = zip(before, shape, strict=True)
    return apply_axes(array, [linear_weights(a, b) for a, b in pairs])


def pad_or_crop(array: Floats, shape: tuple[int, int, int]) -> Floats:
    """Centre-crop or zero-pad the last three axes of `array` to `shape`."""
    before = array.shape[-3:]
    if before == shape:
        return array
    out = np.zeros((*array.shape[:-3], *shape), dtype=array.dtype)
    source: list[slice] = []
    target: list[slice] = []
    for a, b in zip(before, shape, strict=True):
        size = min(a, b)
        source.append(slice((a - size) // 2, (a - size) // 2 + size))
        target.append(slice((b - size) // 2, (b - size) // 2 + size))
    x, y, z = target
    out[..., x, y, z] = array[..., source[0], source[1], source[2]]
    return out

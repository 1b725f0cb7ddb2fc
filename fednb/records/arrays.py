"""Arrays as records: dtype, shape and a raw little-endian buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fednb.errors import WireError
from fednb.records.base import Record, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DTYPES: Final = frozenset({"<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", "|b1"})
"""The element types that may travel; objects and strings may not."""


class Array(Record, frozen=True):
    """An array on the wire.

    Attributes
    ----------
    dtype
        One of `DTYPES`, numpy's notation.
    shape
        Sizes along each axis; at most 8 axes.
    data
        The elements in C order.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def pack(values: NDArray[np.generic]) -> Array:
    """Return `values` as a record, without a copy where the array is contiguous.

    Raises
    ------
    WireError
        The element type is not one of `DTYPES`.
    """
    dtype = values.dtype.newbyteorder("<").str
    if dtype not in DTYPES:
        message = f"An array of {values.dtype} cannot travel; use one of {DTYPES}."
        raise WireError(message)
    flat = np.ascontiguousarray(values, dtype=dtype).reshape(-1)
    return Array(dtype, values.shape, flat.view(np.uint8).data)


def unpack(array: Array) -> NDArray[np.generic]:
    """Return the record as a read-only array, without a copy.

    Raises
    ------
    WireError
        The element type is not allowed, or the shape does not fit the buffer.
    """
    if array.dtype not in DTYPES or len(array.shape) > 8:
        message = f"An array of {array.dtype!r} and {len(array.shape)} axes is refused."
        raise WireError(message)
    dtype = np.dtype(array.dtype)
    count = 1
    for size in array.shape:
        if size < 0:
            message = f"An array of shape {array.shape} is refused."
            raise WireError(message)
        count *= size
    if count * dtype.itemsize != array.data.nbytes:
        message = (
            f"An array of shape {array.shape} and type {array.dtype} needs "
            f"{count * dtype.itemsize} bytes; the message holds {array.data.nbytes}."
        )
        raise WireError(message)
    values = np.frombuffer(array.data, dtype=dtype).reshape(array.shape)
    values.flags.writeable = False
    return values


def pack_all(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Array]:
    """Return a mapping of arrays as records."""
    return {name: pack(values) for name, values in arrays.items()}


def hash_of(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of arrays with their names, types and shapes."""
    parts = [
        f"{name}:{a.dtype}:{a.shape}:{sha256_hex(a.data)}"
        for name, a in sorted(arrays.items())
    ]
    return sha256_hex("\x1f".join(parts).encode())


def unpack_all(arrays: Mapping[str, Array]) -> dict[str, NDArray[np.generic]]:
    """Return a mapping of records as read-only arrays."""
    return {name: unpack(array) for name, array in arrays.items()}

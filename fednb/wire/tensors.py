"""Arrays in the format of safetensors, written with a single copy.

A file is the length of its head (8 bytes, little-endian), the head as JSON, padded with
blanks to a multiple of 8, and the arrays' elements one after the other. Source: the
format's description in the README of ``huggingface/safetensors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from fednb.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KINDS: Final = {
    "|b1": "BOOL",
    "|u1": "U8",
    "<i4": "I32",
    "<i8": "I64",
    "<u4": "U32",
    "<u8": "U64",
    "<f4": "F32",
    "<f8": "F64",
}
"""Element types of `fednb.records.arrays.DTYPES` as safetensors names them."""


def save_once(arrays: Mapping[str, NDArray[Any]]) -> memoryview:
    """Return arrays as the bytes of a safetensors file.

    ``safetensors.numpy.save`` copies every array three times, which shows in a round
    of 50 MB; ``safetensors.numpy.load`` reads what this writes.

    Parameters
    ----------
    arrays
        By name; any shape and order, an element type of `KINDS`.

    Raises
    ------
    WireError
        An element type is none of `KINDS`.
    """
    parts = {name: np.asarray(values) for name, values in arrays.items()}
    head: dict[str, object] = {}
    end = 0
    for name, values in parts.items():
        start, end = end, end + values.nbytes
        head[name] = {
            "dtype": _kind(values),
            "shape": list(values.shape),
            "data_offsets": [start, end],
        }
    text = msgspec.json.encode(head)
    text += b" " * (-len(text) % 8)
    opening = len(text).to_bytes(8, "little") + text
    whole = np.empty(len(opening) + end, dtype=np.uint8)
    whole[: len(opening)] = np.frombuffer(opening, dtype=np.uint8)
    start = len(opening)
    for values in parts.values():
        place = whole[start : start + values.nbytes]
        place.view(values.dtype.newbyteorder("<"))[:] = values.reshape(-1)
        start += values.nbytes
    return whole.data


def _kind(values: NDArray[Any]) -> str:
    kind = KINDS.get(values.dtype.newbyteorder("<").str)
    if kind is None:
        message = f"An array of {values.dtype} is not kept; use one of {set(KINDS)}."
        raise WireError(message)
    return kind

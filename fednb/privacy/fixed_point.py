"""Real numbers as elements of the ring of integers modulo 2^32 or 2^64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from fednb.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ring = NDArray[np.uint32] | NDArray[np.uint64]
    Reals = NDArray[np.floating]

CHUNK: Final = 32_768
"""Elements that are converted at a time: work arrays that fit a core's cache."""


@dataclass(frozen=True)
class FixedPoint:
    """Encoding of reals as integers modulo ``2**bits``, for a sum over `parties`.

    A real x becomes the integer ``round(x / step)``, half to even, in two's
    complement. A sum of `parties` encodings is exact; so a decoded sum differs from the
    sum of the reals by at most ``parties * step / 2``. A party's value is refused where
    it could make the sum wrap around.

    Parameters
    ----------
    bits
        32 or 64: size of an element on the wire.
    step_bits
        The step is ``2**-step_bits``; from 0 to ``bits - 2``.
    parties
        Number of vectors that are summed, at least 1.

    Raises
    ------
    InputError
        A parameter is out of its range, or the parties leave no room for a value.
    """

    bits: Literal[32, 64]
    step_bits: int
    parties: int

    def __post_init__(self) -> None:
        """Refuse a ring that cannot hold the sum."""
        if self.bits not in (32, 64) or not 0 <= self.step_bits <= self.bits - 2:
            message = (
                "A fixed-point ring has 32 or 64 bits and a step of 2^0 to "
                f"2^-(bits - 2); got {self.bits} bits and 2^-{self.step_bits}."
            )
            raise InputError(message)
        if self.parties < 1 or self._most < 1:
            message = (
                f"{self.parties} parties do not fit a ring of {self.bits} bits; use "
                "64 bits or fewer parties."
            )
            raise InputError(message)

    @property
    def _most(self) -> int:
        """Largest integer of one party."""
        return int((2 ** (self.bits - 1) - 1) // self.parties)

    @property
    def step(self) -> float:
        """Distance between neighbouring values."""
        return math.ldexp(1.0, -self.step_bits)

    @property
    def limit(self) -> float:
        """Largest absolute sum; one party's values lie within ``limit / parties``."""
        return self._most * self.parties * self.step

    @property
    def dtype(self) -> np.dtype[np.uint32] | np.dtype[np.uint64]:
        """Element type on the wire: little-endian, unsigned."""
        return np.dtype("<u4") if self.bits == 32 else np.dtype("<u8")

    def encode(self, values: Reals, *, reuse: bool = False) -> Ring:
        """Return `values` as ring elements, same shape.

        Parameters
        ----------
        values
            Real numbers, any shape, float32 or float64.
        reuse
            Overwrite `values` where it is writable and its elements have the ring's
            size: for a large array that nobody needs afterwards. On an error it is
            half overwritten.

        Raises
        ------
        InputError
            A value is not finite, or larger than ``limit / parties``. Nothing is
            clipped: a clipped update would be wrong without a sign of it.
        """
        flat = np.ascontiguousarray(values).reshape(-1)
        fits = flat.dtype.itemsize == self.dtype.itemsize and flat.flags.writeable
        encoded: Ring = (
            flat.view(self.dtype) if reuse and fits else np.empty(flat.size, self.dtype)
        )
        signed = encoded.view(np.dtype(f"<i{self.bits // 8}"))
        # scaling by a power of two and rounding are exact in float32 as well
        exact = flat.dtype == np.float32
        work = np.empty(min(flat.size, CHUNK), np.float32 if exact else np.float64)
        most = float(self._most)
        if most > self._most:
            most = math.nextafter(most, 0.0)
        scale = math.ldexp(1.0, self.step_bits)
        for start in range(0, flat.size, CHUNK):
            part = flat[start : start + CHUNK]
            ticks = work[: part.size]
            with np.errstate(over="ignore", invalid="ignore"):
                np.multiply(part, work.dtype.type(scale), out=ticks)
            np.rint(ticks, out=ticks)
            # as Python floats: numpy would round the bound to float32
            if not (float(ticks.max()) <= most and float(ticks.min()) >= -most):
                raise self._overflow(part)
            np.copyto(signed[start : start + CHUNK], ticks, casting="unsafe")
        return encoded.reshape(np.shape(values))

    def decode(self, total: Ring) -> NDArray[np.float64]:
        """Return a sum of encodings as reals, same shape.

        Parameters
        ----------
        total
            Ring elements of this ring's type: a sum modulo ``2**bits``.

        Raises
        ------
        InputError
            `total` is of another element type.
        """
        if total.dtype != self.dtype:
            message = f"A sum of {self.dtype} is expected; got {total.dtype}."
            raise InputError(message)
        signed = total.view(np.dtype(f"<i{self.bits // 8}"))
        values: NDArray[np.float64] = np.multiply(signed, self.step, dtype=np.float64)
        return values

    def _overflow(self, part: Reals) -> InputError:
        """Name the value in the private detail only: it comes from patients."""
        bound = self.limit / self.parties
        wide = part.astype(np.float64)
        bad = wide[~(np.abs(wide) <= bound)]
        message = (
            f"A value is not finite or exceeds +-{bound:.6g}, the range of a secure "
            f"sum of {self.parties} parties in {self.bits} bits with step "
            f"2^-{self.step_bits}. Scale it down, clip it, or use more bits."
        )
        return InputError(message, detail=f"first of {bad.size}: {bad[:1].tolist()}")


def updates(parties: int) -> FixedPoint:
    """Return the ring for network updates: 32 bits, step 2^-24.

    Values of one site lie within +-42 for 3 sites and +-6 for 20; the step is about a
    float32's own spacing at 1.
    """
    return FixedPoint(bits=32, step_bits=24, parties=parties)


def totals(parties: int) -> FixedPoint:
    """Return the ring for statistics and fits: 64 bits, step 2^-30 (about 1e-9).

    Values of one site lie within +-2.8e9 for 3 sites.
    """
    return FixedPoint(bits=64, step_bits=30, parties=parties)

"""Numbers that nobody but the site can foresee, and that come again when asked again.

Noise against an attacker must not follow from a seed that the attacker knows: a
contract's seed would let its requester subtract the noise. Nor may it be fresh at each
call, or the mean of many answers would be free of it (disclosure rule 13). So it is a
function of the site's secret and of what is answered, through ChaCha20 (RFC 8439),
whose output tells nothing of its key.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from scipy.special import ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SUMMED: Final = 4
"""Normal numbers behind each one: one alone tells of the last bits of what it hides
(Mironov, CCS 2012); a sum of several does not (Holohan and Braghin, 2021)."""

_BLOCK: Final = 65_536


class SecretStream:
    """A sequence of random numbers that follows from a key.

    Parameters
    ----------
    key
        Secret, any length of 16 bytes or more.
    *scope
        What the numbers are for; another scope, other numbers.

    Examples
    --------
    >>> once = SecretStream(bytes(32), "noise").normal(3)
    >>> again = SecretStream(bytes(32), "noise").normal(3)
    >>> bool((once == again).all())
    True
    """

    def __init__(self, key: bytes, *scope: str) -> None:
        name = "\x1f".join(("fednb-secret-stream", *scope)).encode()
        derived = hashlib.blake2b(name, key=key[:64], digest_size=32).digest()
        self._stream = Cipher(ChaCha20(derived, bytes(16)), mode=None).encryptor()

    def uniform(self, count: int) -> Floats:
        """Return numbers strictly between 0 and 1, uniform in steps of 2**-53."""
        raw = np.frombuffer(self._stream.update(bytes(8 * count)), dtype="<u8")
        return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal(self, count: int) -> NDArray[np.float32]:
        """Return standard normal numbers."""
        found = np.empty(count, dtype=np.float32)
        for start in range(0, count, _BLOCK):
            size = min(_BLOCK, count - start)
            parts = ndtri(self.uniform(_SUMMED * size)).reshape(_SUMMED, size)
            found[start : start + size] = parts.sum(axis=0) / math.sqrt(_SUMMED)
        return found

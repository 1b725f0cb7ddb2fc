from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fednb.privacy.agreement import public_hex
from fednb.privacy.secure_sum import MaskContext
from fednb.records.contracts import Participant
from fednb.records.outputs import Place


class Party:
    """Sites with keys that are the same in every test run."""

    def __init__(self, count: int) -> None:
        self.keys = {
            f"site-{i:02d}": X25519PrivateKey.from_private_bytes(bytes([i + 1]) * 32)
            for i in range(count)
        }
        self.sites = tuple(self.keys)
        self.participants = tuple(
            Participant(site, "00" * 32, public_hex(key), "f" * 64)
            for site, key in self.keys.items()
        )

    def context(self, output: str = "update", **place: object) -> MaskContext:
        where = {"contract": "c" * 64, "step": 0, "run": "r1", "round": 2, "attempt": 0}
        return MaskContext(Place(**(where | place)), output, self.participants)


@pytest.fixture(scope="session")
def party():
    return Party

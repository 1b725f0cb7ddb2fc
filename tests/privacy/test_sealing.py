from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fednb.errors import IntegrityError
from fednb.privacy.agreement import public_hex
from fednb.privacy.sealing import OVERHEAD_BYTES, open_sealed, seal

KEY = X25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = X25519PrivateKey.from_private_bytes(b"o" * 32)


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_a_box_opens_to_its_content(data, context):
    sealed = seal(data, public_hex(KEY), context)
    assert open_sealed(sealed, KEY, context) == data
    assert len(sealed) == len(data) + OVERHEAD_BYTES


def test_two_boxes_of_the_same_differ_and_hide_their_content():
    data = b"weights" * 20
    first, second = (seal(data, public_hex(KEY), b"c") for _ in range(2))
    assert first != second
    assert b"weights" not in first


def test_every_flipped_byte_is_noticed():
    sealed = seal(b"w" * 40, public_hex(KEY), b"c")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            open_sealed(bytes(changed), KEY, b"c")


@pytest.mark.parametrize("length", [0, 5, OVERHEAD_BYTES - 1, OVERHEAD_BYTES + 39])
def test_a_cut_box_is_noticed(length):
    sealed = seal(b"w" * 40, public_hex(KEY), b"c")
    with pytest.raises(IntegrityError):
        open_sealed(sealed[:length], KEY, b"c")


def test_another_key_or_context_does_not_open_it():
    sealed = seal(b"w", public_hex(KEY), b"round 1")
    with pytest.raises(IntegrityError, match="another site, round or attempt"):
        open_sealed(sealed, OTHER, b"round 1")
    with pytest.raises(IntegrityError, match="another site, round or attempt"):
        open_sealed(sealed, KEY, b"round 2")


def test_a_malformed_recipient_is_refused():
    with pytest.raises(IntegrityError, match="64 hexadecimal digits; got 'nonsense'"):
        seal(b"w", "nonsense", b"c")

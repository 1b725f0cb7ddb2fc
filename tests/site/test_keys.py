from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fednb.errors import IntegrityError
from fednb.privacy.signatures import signature_holds
from fednb.site.keys import SiteKeys

if TYPE_CHECKING:
    from pathlib import Path

# RFC 8032, section 7.1, test 3
SEED = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
SIGNATURE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


@pytest.fixture
def keys(tmp_path: Path):
    return SiteKeys(tmp_path)


def test_a_known_signature(tmp_path: Path):
    path = tmp_path / "signing.key"
    path.write_bytes(bytes.fromhex(SEED))
    path.chmod(0o600)
    keys = SiteKeys(tmp_path)
    assert keys.signing_public == PUBLIC
    assert keys.sign(bytes.fromhex("af82")).hex() == SIGNATURE
    assert signature_holds(PUBLIC, bytes.fromhex(SIGNATURE), bytes.fromhex("af82"))


def test_keys_are_made_once_and_private(tmp_path: Path, keys: SiteKeys):
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["agreement.key", "salt", "signing.key"]
    assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o600}
    again = SiteKeys(tmp_path)
    assert again.signing_public == keys.signing_public
    assert again.agreement_public == keys.agreement_public
    assert again.salted("a") == keys.salted("a")


def test_two_sites_share_nothing(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = SiteKeys(tmp_path / "a"), SiteKeys(tmp_path / "b")
    assert a.signing_public != b.signing_public
    assert a.agreement_public != b.agreement_public
    assert a.salted("patient") != b.salted("patient")


def test_the_salt_keeps_parts_apart(tmp_path: Path, keys: SiteKeys):
    salt = (tmp_path / "salt").read_bytes()
    expected = hmac.new(salt, b"split\x1fp1", hashlib.sha256).digest()
    assert keys.salted("split", "p1") == expected
    assert keys.salted("ab", "c") != keys.salted("a", "bc")


@pytest.mark.parametrize("name", ["signing.key", "agreement.key", "salt"])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, keys: SiteKeys, name: str
):
    del keys
    (tmp_path / name).chmod(0o640)
    with pytest.raises(IntegrityError) as caught:
        SiteKeys(tmp_path)
    path = tmp_path / name
    expected = f"{path} can be read by others; restrict it with `chmod 600`."
    assert str(caught.value) == expected


def test_a_file_that_is_no_key_is_refused(tmp_path: Path, keys: SiteKeys):
    del keys
    (tmp_path / "salt").write_bytes(b"short")
    with pytest.raises(IntegrityError, match="holds 5 bytes, not a key of 32"):
        SiteKeys(tmp_path)


def test_a_signature_of_another_key_or_other_bytes_does_not_hold(keys: SiteKeys):
    other = Ed25519PrivateKey.generate()
    signature = keys.sign(b"data")
    assert signature_holds(keys.signing_public, signature, b"data")
    assert not signature_holds(keys.signing_public, signature, b"other")
    assert not signature_holds(keys.signing_public, other.sign(b"data"), b"data")
    assert not signature_holds(keys.signing_public, b"", b"data")
    assert not signature_holds("not hexadecimal", signature, b"data")
    assert not signature_holds("", signature, b"data")
    assert not signature_holds(keys.signing_public, "text", b"data")
    assert not signature_holds(keys.signing_public, None, b"data")

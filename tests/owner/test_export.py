"""An exported ledger is checked from its files alone: no home, no fednb."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fednb.errors import InputError, IntegrityError
from fednb.owner.export import verify_crate

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.owner.site_owner import SiteOwner


def oracle(crate: Path) -> int:
    """Check a crate by what its own description says; return the number of entries."""
    keys = json.loads((crate / "keys.json").read_text())["keys"]
    previous = "0" * 64
    lines = (crate / "ledger.jsonl").read_text().splitlines()
    for number, line in enumerate(lines, 1):
        entry = json.loads(line)
        assert (entry["seq"], entry["previous"]) == (number, previous)
        fields = (str(number), repr(entry["time"]), entry["kind"], entry["body"])
        words = "\x1f".join((*fields, previous)).encode()
        previous = hashlib.sha256(words).hexdigest()
        assert entry["hash"] == previous
        signer = [k["key"] for k in keys if k["from"] <= number][-1]
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer))
        public.verify(bytes.fromhex(entry["signature"]), bytes.fromhex(previous))
    return len(lines)


@pytest.fixture
def crate(registered: SiteOwner, tmp_path: Path):
    registered.policy.set(max_rounds=7)
    return registered.ledger.export(tmp_path / "audit")


def test_the_chain_holds_by_the_exported_files_alone(
    registered: SiteOwner, crate: Path
):
    assert oracle(crate) == 3
    count, head, fingerprint = verify_crate(crate)
    check = registered.ledger.verify()
    assert (count, head) == (check.count, check.head)
    assert fingerprint == registered.fingerprint


def test_it_is_an_ro_crate(crate: Path):
    graph = json.loads((crate / "ro-crate-metadata.json").read_text())
    assert graph["@context"] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in graph["@graph"]}
    described = entities["ro-crate-metadata.json"]
    assert described["about"] == {"@id": "./"}
    assert described["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == {p.name for p in crate.iterdir()} - {"ro-crate-metadata.json"}
    assert all(entities[part]["@type"] == "File" for part in parts)


def test_no_secret_is_exported(registered: SiteOwner, crate: Path):
    blob = b"".join(p.read_bytes() for p in crate.iterdir())
    for path in (registered.path / "keys").iterdir():
        secret = path.read_bytes()
        assert secret not in blob
        assert secret.hex().encode() not in blob


def test_a_rotation_is_in_the_export(registered: SiteOwner, tmp_path: Path):
    registered.rotate_keys().policy.set(max_rounds=3)
    crate = registered.ledger.export(tmp_path / "audit")
    assert oracle(crate) == verify_crate(crate)[0] == 4
    keys = json.loads((crate / "keys.json").read_text())["keys"]
    assert [k["from"] for k in keys] == [1, 4]


def edit(crate: Path, what: str) -> None:
    path = crate / "ledger.jsonl"
    lines = path.read_text().splitlines()
    if what == "flip":
        lines[1] = lines[1].replace("glioma", "gliomb")
    elif what == "remove":
        del lines[1]
    else:
        lines[1], lines[2] = lines[2], lines[1]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("what", ["flip", "remove", "reorder"])
def test_what_was_edited_is_named(crate: Path, what: str):
    edit(crate, what)
    with pytest.raises(IntegrityError, match="does not hold at entry 2"):
        verify_crate(crate)
    with pytest.raises((AssertionError, InvalidSignature)):
        oracle(crate)


def test_a_full_folder_and_a_stranger_are_told(
    registered: SiteOwner, crate: Path, tmp_path: Path
):
    with pytest.raises(InputError, match="is not an empty folder; choose a new one"):
        registered.ledger.export(crate)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="is not an exported ledger"):
        verify_crate(tmp_path / "other")


def test_a_ledger_that_does_not_hold_is_not_exported(
    registered: SiteOwner, tmp_path: Path
):
    registered._home.database.execute("UPDATE ledger SET kind = 'x' WHERE seq = 2")
    with pytest.raises(IntegrityError, match="entry 2"):
        registered.ledger.export(tmp_path / "audit")
    assert not (tmp_path / "audit").exists()

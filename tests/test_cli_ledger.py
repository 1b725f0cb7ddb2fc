from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from test_cli import complained, said

from fednb.owner.site_owner import SiteOwner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path):
    SiteOwner.init(tmp_path / "ucsf", "ucsf").close()
    return tmp_path / "ucsf"


def test_a_ledger_is_exported_and_checked_by_itself(home: Path, tmp_path: Path):
    out = tmp_path / "audit"
    assert said("ledger", "export", home, out).strip() == str(out)
    holds, compare = said("ledger", "verify", out).splitlines()
    assert holds.startswith("The export holds: 1 entries. Head: ")
    with SiteOwner(home) as owner:
        assert compare.endswith(owner.fingerprint)
    assert said("ledger", "verify", home).startswith("The ledger holds: 1 entry")
    assert "is not an empty folder" in complained("ledger", "export", home, out)


def test_keys_are_rotated_and_replaced(home: Path):
    with SiteOwner(home) as owner:
        before = owner.fingerprint
    told = said("site", "rotate-keys", home)
    assert told.startswith("Tell the scientists and the other sites' owners the new ")
    assert before not in told
    (home / "keys" / "signing.key").unlink()
    assert "is lost. Put it back" in complained("site", "requests", home)
    assert said("site", "rotate-keys", home, "--lost") != told
    assert said("ledger", "verify", home).startswith("The ledger holds: 3 entries")

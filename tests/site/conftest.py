from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from filing import contract_of, file

from fednb.site.approvals import Approvals
from fednb.site.home import Home
from fednb.site.keys import SiteKeys
from fednb.site.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path):
    home = Home(tmp_path / "home", create=True)
    yield home
    home.close()


@pytest.fixture
def ledger(home: Home):
    return Ledger(home, SiteKeys(home.folder("keys")))


@pytest.fixture
def approvals(home: Home, ledger: Ledger):
    return Approvals(home, ledger)


@pytest.fixture
def filed(approvals: Approvals):
    """The hash of a contract that waits for a decision."""
    return file(approvals, contract_of())

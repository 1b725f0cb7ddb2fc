"""``fednb up``, ``status``, ``down``, ``provision`` and ``site serve``, as typed."""

from __future__ import annotations

import json
import re

import psutil
import pytest
from typer.testing import CliRunner
from worlds import processes_under

from fednb.cli import app
from fednb.cli.root import ERROR_STATUS
from fednb.config import PROTOCOL_VERSION
from fednb.flare import processes
from fednb.flare.kit import Kit

PROJECT = "name: trial\nport: {port}\nsites:\n  - name: aspen\n"


def typed(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words: object) -> str:
    """Return the one message with which a command ends that cannot be done."""
    done = typed(*words)
    assert done.exit_code == ERROR_STATUS, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


def running(home) -> dict[str, int]:
    """Return the process of each party, as the command shows it."""
    done = typed("status", "--home", home)
    assert done.exit_code == 0, done.output
    rows = [line.split(maxsplit=2) for line in done.output.splitlines()[1:]]
    return {row[0]: int(row[2]) if row[2].isdigit() else 0 for row in rows}


@pytest.fixture
def home(tmp_path):
    """Where a federation is brought up; afterwards nothing of it runs."""
    path = tmp_path / "federation"
    try:
        yield path
    finally:
        if path.exists():
            processes.down(path)
    assert processes_under(path) == []


def test_a_federation_comes_up_once_and_goes_down(home):
    done = typed("up", "--home", home, "--sites", 1, "--patients", 10)
    assert done.exit_code == 0, done.output
    first, owned = done.output.splitlines()
    there = running(home)
    assert list(there) == ["aspen", "coordinator", "keeper@fednb.local"]
    assert all(map(psutil.pid_exists, there.values()))
    kit = re.fullmatch(r'In a notebook: fed = fednb\.connect\("(.+)"\)', first)[1]
    assert Kit(kit).config.kind == "user"
    assert owned == f'As owner of aspen: fednb.SiteOwner("{home / "demo" / "aspen"}")'
    again = told("up", "--home", home, "--sites", 1, "--patients", 10)
    assert f"The server runs already, as process {there['coordinator']}." in again
    assert running(home) == there
    assert typed("down", "--home", home).exit_code == 0
    assert set(running(home).values()) == {0}


def test_nothing_is_known_of_a_federation_that_is_not_there(tmp_path):
    assert "There is no federation at" in told("status", "--home", tmp_path / "none")
    assert "has 1 to 3 hospitals; got 4" in told("up", "--home", tmp_path, "--sites", 4)
    assert list(tmp_path.iterdir()) == []


def test_a_kit_that_is_provisioned_serves_its_own_party_only(tmp_path):
    project = tmp_path / "project.yml"
    project.write_text(PROJECT.format(port=processes.free_port()))
    out = tmp_path / "kits"
    done = typed("provision", project, "--out", out)
    assert done.exit_code == 0, done.output
    kits = dict(line.split(": ", 1) for line in done.output.splitlines())
    assert kits["aspen"] == str(out / "aspen")
    user = kits["scientist@fednb.local"]
    assert "is a user's kit; there is nothing to start" in told("site", "serve", user)
    config = out / "aspen" / "local" / "fednb.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"protocol": 99}))
    found = told("site", "serve", kits["aspen"])
    assert f"99; this fednb speaks {PROTOCOL_VERSION}. Update the older" in found
    assert "is not empty" in told("provision", project, "--out", out)
    assert processes_under(out) == []

"""Which tests share a process, and which begin first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import beside
import pytest


def test_folders_that_begin_first_are_there():
    found = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert found >= set(beside.FIRST)
    assert len(beside.FIRST) == len(set(beside.FIRST))


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/flare/test_bad_kits.py::test_it[a/b::c]", "flare"),
        ("tests/browser/test_panel.py::test_it", "browser"),
        ("tests/site/tasks/test_train.py::test_it", "tests/site/tasks/test_train.py"),
        ("tests/test_cli.py::test_it", "tests/test_cli.py"),
    ],
)
def test_a_live_federation_is_shared_by_its_folder_and_the_rest_by_its_file(
    test, scope
):
    assert beside.scope_of(test) == scope


def test_long_folders_begin_and_others_stay_in_order():
    names = ["test_cli.py", "site/tasks/test_b.py", "wire/test_w.py", "site/test_a.py"]
    names += ["flare/test_f.py"]
    items = [SimpleNamespace(nodeid=f"tests/{name}::test_it") for name in names]
    found = [i.nodeid.split("::")[0] for i in beside.ordered(items)]
    order = (4, 1, 3, 0, 2)
    assert found == [f"tests/{names[i]}" for i in order]

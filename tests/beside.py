"""Tests beside each other: what shares one process, and what begins first."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

WHOLE = ("flare", "browser")
"""Folders with one federation, or one JupyterLab, for all files in them."""
FIRST = (
    "flare",
    "journeys",
    "bench",
    "redteam",
    "faults",
    "privacy",
    "site",
    "browser",
)
"""Folders of long tests: what begins last is short, so that no process waits long.

Hospitals in processes of their own and a browser are apart: either needs all cores.
"""
MEMORY = Path("/dev/shm")  # noqa: S108  (pytest makes a folder of its own there)
ROOM_BYTES = 6 * 2**30


class Scheduling(LoadScopeScheduling):
    """A file a process; of the folders in `WHOLE` all files in one."""

    @override
    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return what a test shares its process with: a folder or a file."""
    folder = folder_of(nodeid)
    return folder if folder in WHOLE else nodeid.partition("::")[0]


def folder_of(nodeid: str) -> str:
    """Return the folder of `tests` in which a test lies."""
    return nodeid.removeprefix("tests/").partition("/")[0]


def ordered(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return tests with those of long folders first; within one they stay in order."""
    rank = {folder: place for place, folder in enumerate(FIRST)}
    return sorted(items, key=lambda item: rank.get(folder_of(item.nodeid), len(rank)))


def keep_in_memory() -> None:
    """Have tests' folders in memory where there is room, and programs may lie there.

    Every commit of a home waits for the disk; how fast one syncs is not what is tested.
    """
    if not MEMORY.is_dir() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return
    if shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

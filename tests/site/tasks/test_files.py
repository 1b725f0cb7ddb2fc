from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError
from fednb.site.tasks.files import write_private

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("durable", [True, False])
def test_files_are_private_and_whole(tmp_path: Path, durable: bool):
    path = tmp_path / "new" / "file"
    for content in (b"old", b"newer"):
        write_private(path, content, durable=durable)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "file"
    write_private(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(HomeError, match="No space left on device") as caught:
        write_private(path, b"new")
    assert caught.value.cause == "storage"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

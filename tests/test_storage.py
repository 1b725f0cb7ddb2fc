from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from fednb.errors import HomeError
from fednb.storage import Folder

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "CREATE TABLE notes (line TEXT NOT NULL);"
SECOND = "ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody';"


@pytest.fixture
def folder(tmp_path: Path):
    folder = Folder(tmp_path / "home", "file.sqlite", (FIRST,), create=True)
    yield folder
    folder.close()


def lines(folder: Folder):
    rows = folder.database.execute("SELECT line FROM notes ORDER BY rowid")
    return [line for (line,) in rows]


def add(folder: Folder, line: str):
    with folder.transaction() as database:
        database.execute("INSERT INTO notes (line) VALUES (?)", (line,))


def cap_pages(folder: Folder):
    """Let SQLite run out of room for real: no page more than there are now."""
    (pages,) = folder.database.execute("PRAGMA page_count").fetchone()
    folder.database.execute(f"PRAGMA max_page_count = {pages}")


def test_a_new_home_is_private_and_durable(folder: Folder):
    mode = folder.path.stat().st_mode & 0o777
    file_mode = (folder.path / "file.sqlite").stat().st_mode & 0o777
    assert (mode, file_mode) == (0o700, 0o600)
    pragmas = [
        folder.database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "user_version")
    ]
    assert pragmas == ["wal", 2, 1]


def test_the_log_is_written_back_and_used_again(folder: Folder):
    folder.database.execute("PRAGMA synchronous = OFF")
    page = bytes(4096)
    with folder.transaction() as database:
        database.execute("CREATE TABLE pages (page BLOB)")
    for _ in range(300):
        with folder.transaction() as database:
            database.execute("INSERT INTO pages VALUES (?)", (page,))
    written = 300 * len(page)
    assert (folder.path / "file.sqlite").stat().st_size > written // 2
    assert (folder.path / "file.sqlite-wal").stat().st_size < written


def test_a_missing_home_is_not_made_by_opening_it(tmp_path: Path):
    path = tmp_path / "absent"
    with pytest.raises(HomeError) as caught:
        Folder(path, "file.sqlite", (FIRST,))
    assert str(caught.value) == f"There is no home at {path}: file.sqlite is missing."
    assert not path.exists()


def test_a_place_that_cannot_be_a_folder(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be created"):
        Folder(tmp_path / "file" / "home", "file.sqlite", (FIRST,), create=True)


def test_a_file_that_is_no_database(tmp_path: Path):
    (tmp_path / "file.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(HomeError) as caught:
        Folder(tmp_path, "file.sqlite", (FIRST,))
    assert str(caught.value) == (
        f"The database in {tmp_path} is damaged (file is not a database). Keep the "
        "file and restore a backup; nothing was half-written."
    )


def test_a_database_that_cannot_be_opened(tmp_path: Path):
    (tmp_path / "file.sqlite").mkdir()
    with pytest.raises(HomeError, match="unable to open database file"):
        Folder(tmp_path, "file.sqlite", (FIRST,))


def test_a_damaged_database_is_said_wherever_it_is_read(folder: Folder):
    for _ in range(40):
        add(folder, "x" * 3000)
    folder.database.execute("PRAGMA wal_checkpoint(truncate)").fetchone()
    folder.close()
    path = folder.path / "file.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[: 4096 * 3] + b"\xff" * (len(content) - 4096 * 3))
    damaged = Folder(folder.path, "file.sqlite", (FIRST,))
    for read in (
        lambda: list(damaged.database.execute("SELECT * FROM notes")),
        lambda: damaged.database.execute("SELECT * FROM notes").fetchall(),
        lambda: damaged.database.execute("SELECT max(line) FROM notes").fetchone(),
        lambda: add(damaged, "x"),
    ):
        with pytest.raises(HomeError, match="is damaged"):
            read()
    damaged.close()


def test_a_record_that_contradicts_another_is_refused(folder: Folder):
    unique = "CREATE UNIQUE INDEX once ON notes (line)"
    folder.database.execute(unique)
    add(folder, "one")

    def twice():
        with folder.transaction() as database:
            database.execute("INSERT INTO notes (line) VALUES ('two')")
            database.execute("INSERT INTO notes (line) VALUES ('one')")

    with pytest.raises(HomeError) as caught:
        twice()
    assert str(caught.value) == (
        f"The database in {folder.path} refused a record (UNIQUE constraint failed: "
        "notes.line). It contradicts what is there already; nothing was half-written."
    )
    add(folder, "three")
    assert lines(folder) == ["one", "three"]


def test_text_that_is_no_text_can_still_be_read(folder: Folder):
    """A flipped bit is for a hash to find: it names the row."""
    folder.database.execute("INSERT INTO notes VALUES (CAST(x'6fff' AS TEXT))")
    assert lines(folder) == ["o\ufffd"]


def test_an_older_schema_migrates_forward(folder: Folder):
    add(folder, "kept")
    newer = Folder(folder.path, "file.sqlite", (FIRST, SECOND))
    row = newer.database.execute("SELECT line, author FROM notes").fetchone()
    version = newer.database.execute("PRAGMA user_version").fetchone()
    newer.close()
    assert (row, version) == (("kept", "nobody"), (2,))


def test_a_newer_schema_is_refused_and_untouched(folder: Folder):
    folder.database.execute("PRAGMA user_version = 7")
    with pytest.raises(HomeError) as caught:
        Folder(folder.path, "file.sqlite", (FIRST,))
    assert str(caught.value) == (
        f"{folder.path} has schema 7, made by a newer fednb; this one knows schema 1. "
        "Update fednb to open it."
    )
    assert folder.database.execute("PRAGMA user_version").fetchone() == (7,)


def test_a_new_home_is_made_once_by_many(tmp_path: Path):
    """All see a database without a schema; the first makes it, the rest wait."""
    many = 8
    start = threading.Barrier(many)
    failures: list[BaseException] = []

    class Slow(Folder):
        def _connect(self):
            connection = super()._connect()
            start.wait()
            return connection

    def open_it():
        try:
            Slow(tmp_path, "file.sqlite", (FIRST, SECOND), create=True).close()
        except (HomeError, sqlite3.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_migration_that_fails_undoes_itself_and_lets_go(folder: Folder):
    broken = (FIRST, SECOND + "CREATE TABLE notes (line TEXT);")
    with pytest.raises(HomeError, match="table notes already exists"):
        Folder(folder.path, "file.sqlite", broken)
    add(folder, "still there")
    assert folder.database.execute("PRAGMA user_version").fetchone() == (1,)
    newer = Folder(folder.path, "file.sqlite", (FIRST, SECOND))
    row = newer.database.execute("SELECT line, author FROM notes").fetchone()
    assert row == ("still there", "nobody")
    newer.close()


def test_a_script_is_split_at_whole_statements(tmp_path: Path):
    script = (
        "CREATE TABLE a (line TEXT DEFAULT ';'); -- a remark; of two parts\n"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; DELETE FROM a; END;"
    )
    folder = Folder(tmp_path, "file.sqlite", (script,), create=True)
    folder.database.execute("INSERT INTO a VALUES ('gone')")
    assert folder.database.execute("SELECT * FROM a").fetchall() == []
    folder.close()


def test_an_error_inside_a_transaction_undoes_all_of_it(folder: Folder):
    add(folder, "before")

    def interrupted():
        with folder.transaction() as database:
            database.execute("INSERT INTO notes (line) VALUES ('half')")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    add(folder, "after")
    assert lines(folder) == ["before", "after"]


def test_a_full_disk_is_said_and_nothing_is_half_written(folder: Folder):
    add(folder, "before")
    cap_pages(folder)
    with pytest.raises(HomeError) as caught:
        add(folder, "x" * 100_000)
    assert "database or disk is full" in str(caught.value)
    assert "nothing was half-written" in str(caught.value)
    assert lines(folder) == ["before"]
    folder.database.execute("PRAGMA max_page_count = 1000000")
    add(folder, "after")
    assert lines(folder) == ["before", "after"]


def test_a_full_disk_leaves_no_part_of_a_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    folder.write_file("kept", "x", b"old")

    def full(handle: int):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(HomeError, match="No space left on device"):
        folder.write_file("kept", "x", b"new")
    assert [p.name for p in (folder.path / "kept").iterdir()] == ["x"]
    assert (folder.path / "kept" / "x").read_bytes() == b"old"


def test_a_file_is_private(folder: Folder):
    path = folder.write_file("a/b", "x", b"data")
    assert path.read_bytes() == b"data"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_server_is_refused_until_the_first_lets_go(folder: Folder):
    other = Folder(folder.path, "file.sqlite", (FIRST,))
    folder.lock()
    with pytest.raises(HomeError, match="Another server already runs on"):
        other.lock()
    folder.close()
    other.lock()
    other.close()


def test_a_lock_dies_with_its_process(folder: Folder):
    code = (
        "import os, sys\n"
        "from fednb.storage import Folder\n"
        "Folder(sys.argv[1], 'file.sqlite', (sys.argv[2],)).lock()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(folder.path), FIRST]
    assert subprocess.run(command, check=False).returncode == -9  # noqa: S603
    folder.lock()


def test_threads_have_connections_of_their_own(folder: Folder):
    failures: list[BaseException] = []

    def work(name: str):
        try:
            for i in range(20):
                add(folder, f"{name}{i}")
        finally:
            folder.close()

    def guarded(name: str):
        try:
            work(name)
        except HomeError as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(lines(folder)) == sorted(f"{n}{i}" for n in "abc" for i in range(20))


def test_two_connections_at_one_home_see_each_others_commits(folder: Folder):
    other = Folder(folder.path, "file.sqlite", (FIRST,))
    add(folder, "one")
    add(other, "two")
    assert lines(folder) == lines(other) == ["one", "two"]
    other.close()

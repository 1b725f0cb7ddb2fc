"""A folder with one SQLite database: what the homes of sites and coordinators share.

WAL with synchronous=FULL: a committed transaction survives a power cut. Schemas are
numbered and migrate forward; a newer one is refused.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from typing_extensions import override

from fednb.errors import HomeError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from typing_extensions import Buffer

_PATIENCE: Final = 30.0
"""Seconds to wait for another writer."""
_LOG_PAGES: Final = 250
"""Pages of the log before it is written back and begun anew: a commit into a file that
grows takes longer, and writing back much at once holds a round up."""


class Folder:
    """A folder and its database.

    Parameters
    ----------
    path
        The folder.
    file
        Name of the database in it.
    migrations
        One SQL script a schema version, in order.
    create
        What to do where there is no database: make the folder, mode 0700, and it; or
        refuse.

    Raises
    ------
    HomeError
        There is nothing there, it cannot be written, or a newer fednb made it.
    """

    def __init__(
        self,
        path: str | Path,
        file: str,
        migrations: Sequence[str],
        *,
        create: bool = False,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self._file = self.path / file
        self._migrations = migrations
        self._local = threading.local()
        self._lock_file: int | None = None
        if not self._file.exists():
            if not create:
                message = f"There is no home at {self.path}: {file} is missing."
                raise HomeError(message)
            self._make()
        self._migrate()

    def folder(self, name: str) -> Path:
        """Return a sub-folder of the home, created with mode 0700."""
        folder = self.path / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def database(self) -> sqlite3.Connection:
        """The connection of the calling thread; SQLite's errors come as `HomeError`."""
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._connect()
            self._local.connection = known
        return known

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside BEGIN IMMEDIATE; commit, or roll back on an error.

        Raises
        ------
        HomeError
            The disk is full, or the database cannot be written, is damaged, or refuses
            a record; nothing was written.
        """
        connection = self.database
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        finally:
            if connection.in_transaction:
                connection.rollback()

    def lock(self) -> None:
        """Take the home for one server.

        Raises
        ------
        HomeError
            Another server holds it.
        """
        handle = os.open(self.path / "server.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            message = (
                f"Another server already runs on {self.path}: of another notebook or "
                "program, or of an earlier federation of this one. End that (shut its "
                "kernel down, or call .close()), or open another home; the panel and "
                "`fednb site` work beside it."
            )
            raise HomeError(message) from error
        self._lock_file = handle

    def close(self) -> None:
        """Let go of the lock and of this thread's connection."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def write_file(self, folder: str, name: str, data: Buffer) -> Path:
        """Write a file durably with mode 0600: fsync, then an atomic rename.

        Raises
        ------
        HomeError
            The disk is full or the folder cannot be written.
        """
        target = self.folder(folder) / name
        partial = target.with_name(name + ".partial")
        try:
            handle = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fdatasync(stream.fileno())
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            message = f"{target} could not be written ({error.strerror}). Free space."
            raise HomeError(message) from error
        return target

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            message = f"{self.path} cannot be created ({error.strerror})."
            raise HomeError(message) from error

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._file,
                isolation_level=None,
                timeout=_PATIENCE,
                check_same_thread=False,
                factory=_Connection,
            )
        except sqlite3.DatabaseError as error:
            raise _explained(self, error) from error
        connection.place = self.path
        # a flipped bit is found by hashes, which name the row; decoding names nothing
        connection.text_factory = _text
        with _alone(self.path):
            # SQLite waits for nobody while it changes the mode of a new database
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        return connection

    def _migrate(self) -> None:
        newest = len(self._migrations)
        if self._version() < newest:
            with self.transaction() as database:
                # read again: somebody else may have migrated it meanwhile
                for number in range(self._version(), newest):
                    for statement in _statements(self._migrations[number]):
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version = {number + 1}")
        self._file.chmod(0o600)

    def _version(self) -> int:
        (version,) = self.database.execute("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version > newest:
            message = (
                f"{self.path} has schema {version}, made by a newer fednb; this one "
                f"knows schema {newest}. Update fednb to open it."
            )
            raise HomeError(message)
        return int(version)


P = ParamSpec("P")
R = TypeVar("R")


def _telling(call: Callable[P, R]) -> Callable[P, R]:
    """Turn an error of SQLite into one that says what to do."""

    @wraps(call)
    def told(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return call(*arguments, **named)
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise _explained(arguments[0], error) from error

    return told


def _explained(source: object, error: sqlite3.DatabaseError) -> HomeError:
    """Return what to tell of an error of a connection or of one of its cursors."""
    connection = getattr(source, "connection", source)
    place = getattr(connection, "place", None) or getattr(source, "path", "a home")
    what, advice = "is damaged", "Keep the file and restore a backup"
    if isinstance(error, sqlite3.OperationalError):
        what = "could not be read or written"
        advice = "Free disk space, or close what holds it"
    elif isinstance(error, sqlite3.IntegrityError):
        what, advice = "refused a record", "It contradicts what is there already"
    return HomeError(
        f"The database in {place} {what} ({error}). {advice}; nothing was half-written."
    )


class _Connection(sqlite3.Connection):
    """A connection that raises `HomeError`, whichever call it is that fails."""

    place: Path

    @override
    def execute(self, *statement: Any) -> _Cursor:
        return self.cursor(_Cursor).execute(*statement)

    commit = _telling(sqlite3.Connection.commit)


class _Cursor(sqlite3.Cursor):
    """Reads row by row, so that damage may show at any row."""

    execute = _telling(sqlite3.Cursor.execute)
    fetchone = _telling(sqlite3.Cursor.fetchone)
    fetchall = _telling(sqlite3.Cursor.fetchall)
    __next__ = _telling(sqlite3.Cursor.__next__)  # type: ignore[arg-type]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Take turns among the threads and processes that open a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        message = f"{folder} cannot be read ({error.strerror})."
        raise HomeError(message) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _statements(script: str) -> Iterator[str]:
    """Split a script; SQLite's own function commits before it runs one."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def secret_file(path: Path) -> bytes:
    """Return the 32 secret bytes in a file, making them on first use, mode 0600.

    Raises
    ------
    IntegrityError
        The file can be read by others, or does not hold 32 bytes.
    """
    secret = written_once(path, secrets.token_bytes(32))
    if path.stat().st_mode & 0o077:
        message = f"{path} can be read by others; restrict it with `chmod 600`."
        raise IntegrityError(message)
    if len(secret) != 32:
        message = f"{path} holds {len(secret)} bytes, not a key of 32."
        raise IntegrityError(message)
    return secret


def written_once(path: Path, data: bytes) -> bytes:
    """Return what a small file holds, which is `data` where it is made now, mode 0600.

    Whoever comes second, in another thread or process, gets what is there.

    Raises
    ------
    OSError
        It cannot be read or written.
    """
    if not path.exists():
        fresh = _written_beside(path, data)
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def write_over(path: Path, data: bytes) -> None:
    """Write a small file whole, mode 0600, in the place of what is there.

    Raises
    ------
    OSError
        It cannot be written.
    """
    _written_beside(path, data).replace(path)


def _written_beside(path: Path, data: bytes) -> Path:
    """Write data under another name, so that no half of it is ever read as a whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fdatasync(stream.fileno())
    return fresh

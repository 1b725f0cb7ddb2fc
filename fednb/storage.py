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
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fednb.errors import HomeError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer


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
        """The connection of the calling thread."""
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
            The disk is full or the database cannot be written.
        """
        connection = self.database
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.rollback()
            message = (
                f"The database in {self.path} could not be written ({error}). Free "
                "disk space, or close what holds it; nothing was half-written."
            )
            raise HomeError(message) from error

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
                f"Another server already runs on {self.path}. Stop it first, or open "
                "another home; the panel and `fednb site` work beside it."
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
                timeout=30,
                check_same_thread=False,
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            message = f"The database in {self.path} cannot be opened ({error})."
            raise HomeError(message) from error
        return connection

    def _migrate(self) -> None:
        (version,) = self.database.execute("PRAGMA user_version").fetchone()
        newest = len(self._migrations)
        if version > newest:
            message = (
                f"{self.path} has schema {version}, made by a newer fednb; this one "
                f"knows schema {newest}. Update fednb to open it."
            )
            raise HomeError(message)
        for number in range(version, newest):
            script = self._migrations[number] + f"PRAGMA user_version = {number + 1};"
            self.database.executescript("BEGIN IMMEDIATE;" + script + "COMMIT;")
        self._file.chmod(0o600)


def secret_file(path: Path) -> bytes:
    """Return the 32 secret bytes in a file, making them on first use, mode 0600.

    Raises
    ------
    IntegrityError
        The file can be read by others, or does not hold 32 bytes.
    """
    if not path.exists():
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(32))
    if path.stat().st_mode & 0o077:
        message = f"{path} can be read by others; restrict it with `chmod 600`."
        raise IntegrityError(message)
    secret = path.read_bytes()
    if len(secret) != 32:
        message = f"{path} holds {len(secret)} bytes, not a key of 32."
        raise IntegrityError(message)
    return secret

"""One home that a server serves, opened when it is asked for the first time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fednb.errors import HomeError
from fednb.records.base import sha256_hex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fednb.owner.requests import Requests
    from fednb.owner.site_owner import SiteOwner

REFRESH_SECONDS: Final = 30.0
"""How long a list stands while nobody writes: contracts expire by themselves."""

_DATABASE: Final = "site.sqlite"
_Stamp = tuple[tuple[int, int, int], ...]


class ServedHome:
    """A home, to be used from one thread.

    Parameters
    ----------
    path
        Its folder; it need not exist yet.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser().absolute()
        self.id = sha256_hex(str(self.path).encode())[:16]
        self._owner: SiteOwner | None = None
        self._file: tuple[int, int] | None = None
        self._requests: Requests | None = None
        self._seen: _Stamp = ()
        self._looked = 0.0

    def owner(self) -> SiteOwner:
        """Return the site's owner.

        Raises
        ------
        HomeError
            There is no home there, or it cannot be read.
        IntegrityError
            A key of the home does not hold.
        """
        # a home that was moved away or replaced must not be written under its old name
        if self._owner is not None and self._identity() != self._file:
            self.close()
        if self._owner is None:
            # pandas comes with it: only a server that has a home loads it
            from fednb.owner.site_owner import SiteOwner

            self._owner = SiteOwner(self.path)
            self._file = self._identity()
        return self._owner

    def requests(self) -> Requests:
        """Return the requests; they are read anew once somebody wrote to the home."""
        owner = self.owner()
        stamp, now = self._stamp(), time.monotonic()
        stale = stamp != self._seen or now - self._looked > REFRESH_SECONDS
        if self._requests is None or stale:
            self._requests = owner.requests
            self._seen, self._looked = stamp, now
        return self._requests

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Say whose home it is where its files cannot be read.

        Raises
        ------
        HomeError
            In place of an error of the operating system.
        """
        try:
            yield
        except OSError as error:
            message = (
                f"{self.path} cannot be read ({error.strerror}). Start JupyterLab as "
                "the user to whom the home belongs."
            )
            raise HomeError(message) from error

    def close(self) -> None:
        """Let go of the database."""
        if self._owner is not None:
            self._owner.close()
        self._owner = self._requests = self._file = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            seen = (self.path / _DATABASE).stat()
        except OSError:
            return None
        return seen.st_dev, seen.st_ino

    def _stamp(self) -> _Stamp:
        """Return what changes with every commit: SQLite appends it to the WAL file."""
        found = []
        for name in (_DATABASE, f"{_DATABASE}-wal"):
            try:
                seen = (self.path / name).stat()
            except FileNotFoundError:
                continue
            found.append((seen.st_ino, seen.st_mtime_ns, seen.st_size))
        return tuple(found)

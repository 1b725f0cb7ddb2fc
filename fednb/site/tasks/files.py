"""Files of a site's tasks: private, and whole or not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fednb.errors import HomeError

if TYPE_CHECKING:
    from pathlib import Path


def write_private(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file, mode 0600, whole or not at all.

    Parameters
    ----------
    path
        Its folder is created with mode 0700 where it is missing.
    data
        The content.
    durable
        Wait until the disk has it; not needed for what can be computed again.

    Raises
    ------
    HomeError
        The disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        message = f"A file could not be written ({error.strerror}). Free some space."
        raise HomeError(message, detail=str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Limits and default places, in one file.

Nothing here reads a file: a site's rules are its policy (`fednb.site.policy`), not
configuration. The environment variable ``FEDNB_HOME`` moves the default home.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PROTOCOL_VERSION: Final = 2
"""Version of the messages; a site refuses any other."""

MAX_MESSAGE_BYTES: Final = 2**30
"""A message above this is refused before it is read."""

PROTOCOL_FRAME_BYTES: Final = 1024
"""States, refusals and keys leave a site padded to exactly this size."""

LONG_POLL_SECONDS: Final = 0.5
"""How long a site holds a call open before it answers "working"."""

INLINE_BYTES: Final = 65_536
"""Releases and checkpoints up to this size live in SQLite, larger ones in files."""


def default_home() -> Path:
    """Return ``$FEDNB_HOME``, or ``~/.fednb``."""
    return Path(os.environ.get("FEDNB_HOME", "~/.fednb")).expanduser()

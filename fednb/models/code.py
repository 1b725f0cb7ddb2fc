"""A requester's own code as a class or function: in a confined process, nowhere else.

`allow` is called once, by the worker that has put walls around itself
(`fednb.site.tasks.custom`). Everywhere else `load` refuses, whatever it is handed.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import linecache
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from fednb.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from fednb.records.code import Code

_FILE: Final = "<code {}>"
_allowed: list[bool] = []


def allow() -> None:
    """Let this process run code that a contract carries; there is no way back."""
    _allowed.append(True)


def load(code: Code) -> Callable[..., Any]:
    """Return the class or function that some code defines.

    Raises
    ------
    IntegrityError
        This process may not run it.
    """
    if not _allowed:
        message = (
            f"The code of {code.name} runs in a confined worker only; this process is "
            "not one."
        )
        raise IntegrityError(message)
    name = f"requester_{code.sha256}"
    if name not in sys.modules:
        _import(name, code)
    made: Callable[..., Any] = getattr(sys.modules[name], code.name)
    return made


def place_of(error: BaseException) -> tuple[str, int]:
    """Return the hash of the code in which an error arose, and the innermost line.

    Empty and 0 where no code has a part in it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno or 0) for frame in frames]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno or 0))
    head, tail = _FILE.split("{}")
    own = [place for place in places if place[0].startswith(head)]
    if not own:
        return "", 0
    file, line = own[-1]
    return file.removeprefix(head).removesuffix(tail), line


def _import(name: str, code: Code) -> None:
    file = _FILE.format(code.sha256)
    lines = code.source.splitlines(keepends=True)
    # so that the owner's traceback shows the lines
    linecache.cache[file] = (len(code.source), None, lines, file)
    spec = importlib.util.spec_from_loader(name, _Loader(code.source, file))
    if spec is None or spec.loader is None:
        message = "The code of the contract could not be read as a module."
        raise IntegrityError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


class _Loader(importlib.abc.InspectLoader):
    """Reads a module from text."""

    def __init__(self, source: str, file: str) -> None:
        self._source = source
        self._file = file

    @override
    def get_source(self, fullname: str) -> str:
        return self._source

    @override
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._source, self._file)

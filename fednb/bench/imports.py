"""``import fednb`` in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import msgspec

from fednb.bench.report import Report, Target, median, upper

LIMIT_S = 0.3
HEAVY = ("torch", "pandas", "syft", "numpy")
"""Packages that are looked for; the first three must not be there."""

_FORBIDDEN = 3
_SCRIPT = """
import json, sys, time
began = time.perf_counter()
import {module}
seconds = time.perf_counter() - began
found = [name for name in {heavy!r} if name in sys.modules]
sys.stdout.write(json.dumps({{"seconds": seconds, "found": found}}))
"""


@dataclass(frozen=True)
class Settings:
    """What to import.

    Attributes
    ----------
    repeats
        Fresh interpreters a module, in turns, after one each that is not counted.
    modules
        By name.
    """

    repeats: int = 9
    modules: tuple[str, ...] = ("fednb", "fednb.cli")


QUICK = Settings(repeats=1)


@dataclass(frozen=True)
class ImportRow:
    """One module.

    Attributes
    ----------
    module, repeats
        What was imported, how often.
    median_s, p90_s
        Of the import alone, without the interpreter's own start.
    loaded
        Which of `HEAVY` it brought in.
    """

    module: str
    repeats: int
    median_s: float
    p90_s: float
    loaded: str
    target: Target | None = None


class _Found(msgspec.Struct):
    seconds: float
    found: list[str]


def measure(settings: Settings | None = None) -> Report:
    """Measure each module in fresh interpreters."""
    chosen = settings or Settings()
    seen: dict[str, list[_Found]] = {name: [] for name in chosen.modules}
    for _ in range(chosen.repeats + 1):
        for name, found in seen.items():
            found.append(_import(name))
    rows = tuple(_row(name, found[1:]) for name, found in seen.items())
    notes = (
        f"Allowed in sys.modules afterwards: not {', '.join(HEAVY[:_FORBIDDEN])}.",
    )
    return Report("import", rows, notes)


def _row(name: str, found: list[_Found]) -> ImportRow:
    seconds = [one.seconds for one in found]
    target = None
    if name == "fednb":
        target = Target("import fednb", median(seconds), LIMIT_S, "s")
    return ImportRow(
        name,
        len(found),
        median(seconds),
        upper(seconds),
        ", ".join(found[0].found) or "none",
        target,
    )


def _import(module: str) -> _Found:
    script = _SCRIPT.format(module=module, heavy=HEAVY)
    done = subprocess.run(  # noqa: S603  (our own interpreter and text)
        [sys.executable, "-c", script], capture_output=True, check=True
    )
    return msgspec.json.decode(done.stdout, type=_Found)

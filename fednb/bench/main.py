"""``fednb bench``: runs a bench by name, shows its table and writes its JSON."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from fednb.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.bench.report import Report

MODULES: Final = {
    "rounds": "fednb.bench.rounds",
    "rounds:flare": "fednb.bench.flare_rounds",
    "trainer": "fednb.bench.trainer",
    "cox": "fednb.bench.cox",
    "concordance": "fednb.bench.concordance",
    "statistics": "fednb.bench.statistics",
    "import": "fednb.bench.imports",
    "science": "fednb.bench.science",
    "science:survival": "fednb.bench.survival",
}
"""Module by bench; each is imported only when it runs, since one brings torch in."""

PAGE: Final = 132
"""Columns where the output goes to a file."""


def run(
    name: str,
    *,
    json_file: Path | None = None,
    device: str = "cpu",
    seeds: int = 3,
    full: bool = False,
    quick: bool = False,
) -> Any:  # noqa: ANN401
    """Run a bench, show it, and return what it found.

    Parameters
    ----------
    name
        ``"rounds"``, ``"rounds:flare"``, ``"trainer"``, ``"cox"``, ``"concordance"``,
        ``"statistics"``, ``"import"``, ``"science"``, or ``"science:survival"``.
    json_file
        Where to write the same figures as JSON.
    device
        Of `trainer`: ``"cpu"`` or ``"cuda"``.
    seeds
        Of `science` and ``"science:survival"``.
    full
        What takes very long: lifelines on a million rows; of `science` the paired
        comparison of 10 seeds instead of the demo's, of ``"science:survival"`` as many.
    quick
        Tiny sizes: shows that a bench runs, and measures nothing of worth.

    Returns
    -------
    report
        A `Report`.

    Raises
    ------
    UnknownNameError
        There is no such bench.
    InputError
        `device` is unknown.
    """
    if name not in MODULES:
        kind = "bench"
        raise UnknownNameError(kind, name, MODULES)
    if device not in {"cpu", "cuda"}:
        message = f"device is 'cpu' or 'cuda'; got {device!r}."
        raise InputError(message)
    module = import_module(MODULES[name])
    settings = _settings(module, full=full, quick=quick)
    if name == "trainer":
        settings = replace(settings, device=device)
    if name.startswith("science") and not quick and not full:
        settings = replace(settings, seeds=seeds)
    report: Report = module.measure(settings)
    console = Console()
    if not console.is_terminal:
        console = Console(width=PAGE)
    console.print(report.table())
    if json_file is not None:
        json_file.write_bytes(report.to_json())
    return report


def _settings(module: Any, *, full: bool, quick: bool) -> Any:  # noqa: ANN401
    if quick:
        return module.QUICK
    return module.FULL if full and hasattr(module, "FULL") else module.Settings()

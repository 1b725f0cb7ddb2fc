"""``fednb redteam``: runs every attack and writes the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console

from fednb.redteam import (
    assessments,
    cells,
    cohorts,
    columns,
    gate,
    models,
    noise,
    risksets,
    sums,
    sybils,
    times,
)
from fednb.redteam.report import Finding, Report
from fednb.redteam.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fednb.redteam.outcome import Attack

SEED: Final = 20

FAMILIES: Final[tuple[Callable[[World], tuple[Attack, ...]], ...]] = (
    noise.attacks,
    cohorts.attacks,
    cells.attacks,
    risksets.attacks,
    sums.attacks,
    models.attacks,
    gate.attacks,
    sybils.attacks,
    assessments.attacks,
    times.attacks,
    columns.attacks,
)


def catalogue(world: World) -> tuple[Attack, ...]:
    """Return every attack, on fednb and on its peers.

    Parameters
    ----------
    world
        The sites to attack.
    """
    return tuple(attack for family in FAMILIES for attack in family(world))


def attack_all(seed: int = SEED) -> Report:
    """Carry out every attack.

    Parameters
    ----------
    seed
        Of patients and attackers; each attack has a generator of its own.
    """
    with World(np.random.default_rng(seed)) as world:
        found: list[Finding] = []
        for attack in catalogue(world):
            rng = np.random.default_rng([seed, len(found)])
            found.append(Finding.of(attack, attack.run(rng)))
    return Report(tuple(found))


def run(
    *,
    json_file: Path | None = None,
    html_file: Path | None = None,
    seed: int = SEED,
) -> Report:
    """Carry out every attack, show the table, and write it where asked.

    Parameters
    ----------
    json_file, html_file
        Where to write the same table.
    seed
        See `attack_all`.
    """
    report = attack_all(seed)
    Console(soft_wrap=True, markup=False, highlight=False).print(report.to_text())
    if json_file is not None:
        json_file.write_bytes(report.to_json())
    if html_file is not None:
        html_file.write_text(report.to_html(), encoding="utf-8")
    return report

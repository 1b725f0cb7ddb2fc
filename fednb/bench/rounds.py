"""Durable rounds: all of fednb's own work in a round, and none of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fednb.bench.disk import fsync_seconds, write_seconds
from fednb.bench.echo import EchoFederation
from fednb.bench.report import Report, Target, median, upper
from fednb.config import INLINE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

KB, MB = 1000, 1_000_000
SMALL_MS = 5.0
LARGE_MS = 1000.0
SECURE_RATIO = 3.0


@dataclass(frozen=True)
class Case:
    """One size of round.

    Attributes
    ----------
    parameters, sites
        Number of float32 weights, and of embedded sites.
    rounds
        Rounds that are timed, in each of `Settings.repeats` runs.
    limit_ms
        Target of a round without the secure sum; None: no target.
    """

    parameters: int
    sites: int
    rounds: int
    limit_ms: float | None = None


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes
    ----------
    cases
        Sizes.
    repeats
        Runs without and with the secure sum, in turns.
    """

    cases: tuple[Case, ...] = (
        Case(256, 3, 30, SMALL_MS),
        Case(12_500_000, 3, 4, LARGE_MS),
        Case(256, 30, 10),
        Case(250_000, 30, 5),
    )
    repeats: int = 3


QUICK = Settings((Case(256, 3, 3, SMALL_MS), Case(20_000, 3, 2)), repeats=1)


@dataclass(frozen=True)
class RoundRow:
    """Rounds of one size, with or without the secure sum.

    Attributes
    ----------
    size
        Bytes of the weights, in words.
    sites, secure_sum
        How many, and how their updates are summed.
    rounds
        Number that was timed.
    median_ms, p90_ms
        Of a round, from one checkpoint to the next.
    cpu_ms
        Processor time of a round, all threads together: what is left where other work
        on the machine makes the median meaningless.
    disk_ms
        The disk's own time for the same writes, one after the other: a commit a site
        and one at the coordinator; where the update is large, a file each and the
        checkpoint's.
    ratio
        With the secure sum, over the same without.
    """

    size: str
    sites: int
    secure_sum: bool
    rounds: int
    median_ms: float
    p90_ms: float
    cpu_ms: float
    disk_ms: float
    ratio: float | None = None
    target: Target | None = None


def measure(settings: Settings | None = None) -> Report:
    """Measure all cases, without and with the secure sum in turns."""
    chosen = settings or Settings()
    rows: list[RoundRow] = []
    for sites in dict.fromkeys(case.sites for case in chosen.cases):
        cases = [case for case in chosen.cases if case.sites == sites]
        federation = EchoFederation(sites)
        with federation:
            for case in cases:
                rows += _case(federation, case, chosen.repeats)
    notes = (
        "Everything is real but the torch worker, which answers at once; the disk's "
        "time is measured in the same folder, each write alone and in turn.",
        "30 sites at 50 MB are left out: 30 sites in one process would hold some 8 GB, "
        "and 870 masks of 50 MB are for a server a site; 1 MB is shown instead.",
    )
    return Report("rounds", tuple(rows), notes)


def _case(federation: EchoFederation, case: Case, repeats: int) -> list[RoundRow]:
    times: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for secure in (False, True):
            timed = federation.time_rounds(case.parameters, case.rounds, secure=secure)
            times[secure] += timed.seconds
            cpu[secure].append(timed.cpu)
    disk = _disk_ms(federation.root, case)
    plain = median(times[False]) * 1e3
    rows = []
    for secure, found in times.items():
        middle = median(found) * 1e3
        ratio = middle / plain if secure else None
        name = f"{_size(case)}, {case.sites} sites"
        target = None
        if case.limit_ms is not None and not secure:
            target = Target(name, middle, case.limit_ms, "ms")
        elif case.limit_ms is not None and ratio is not None:
            name = f"{name}, secure sum over plain"
            target = Target(name, ratio, SECURE_RATIO, "x plain")
        rows.append(
            RoundRow(
                _size(case),
                case.sites,
                secure,
                len(found),
                middle,
                upper(found) * 1e3,
                median(cpu[secure]) * 1e3,
                disk,
                ratio,
                target,
            )
        )
    return rows


def _disk_ms(folder: Path, case: Case) -> float:
    commits = (case.sites + 1) * fsync_seconds(folder)
    size = 4 * case.parameters
    files = 0.0
    if size > INLINE_BYTES:
        files = (case.sites + 1) * write_seconds(folder, size)
    return 1e3 * (commits + files)


def _size(case: Case) -> str:
    size = 4 * case.parameters
    return f"{size / MB:g} MB" if size >= MB else f"{size / KB:.3g} KB"

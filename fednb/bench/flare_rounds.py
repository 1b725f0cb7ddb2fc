"""fednb over FLARE beside FLARE's own FedAvg: the same processes, the same run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fednb.bench.disk import write_seconds
from fednb.bench.flare_federation import SITES, TABLE, FlareFederation
from fednb.bench.flare_stock import time_stock
from fednb.bench.report import Report, Target, median, upper
from fednb.flare.provision import COORDINATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fednb.bench.echo import Timed

SMALL: Final = 256
"""Weights of 1 KB."""

SMALL_MS: Final = 30.0
LARGE_MS: Final = 3000.0
SECURE_RATIO: Final = 3.0
STATISTICS_MS: Final = 60.0
SESSION_S: Final = 10.0
IDLE_MB: Final = 150.0


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes
    ----------
    large
        Float32 weights of a large round.
    small_rounds, large_rounds, stock_rounds
        Rounds that are timed, of each size, with and without the secure sum; and of
        FLARE's own FedAvg.
    sessions
        Sessions that are opened, one after the other.
    calls
        Statistics calls after the first.
    rows
        Patients in their table, all sites together.
    """

    large: int = 12_500_000
    small_rounds: int = 40
    large_rounds: int = 6
    stock_rounds: int = 5
    sessions: int = 3
    calls: int = 60
    rows: int = 10_000


QUICK: Final = Settings(
    large=50_000,
    small_rounds=3,
    large_rounds=2,
    stock_rounds=2,
    sessions=1,
    calls=3,
    rows=300,
)


@dataclass(frozen=True)
class FlareRow:
    """One figure.

    Attributes
    ----------
    what, unit
        What was measured, and in what.
    repeats
        How often.
    median, p90
        Over the repeats.
    cpu_ms
        Processor time of a round in all processes together: on two cores a round takes
        no less than half of it, and where the machine is shared it is the figure to
        compare.
    ratio
        Of the secure sum over the same without; of stock FLARE over fednb.
    """

    what: str
    unit: str
    repeats: int
    median: float
    p90: float
    cpu_ms: float | None = None
    ratio: float | None = None
    target: Target | None = None


def measure(settings: Settings | None = None) -> Report:
    """Measure fednb over FLARE, and then FLARE's own FedAvg on the same processes."""
    chosen = settings or Settings()
    with FlareFederation(chosen.rows) as flare:
        rows = [_row("processes up and connected", "s", [flare.start()])]
        idle = flare.parents_mb()
        rows.append(_row("idle site process", "MB", [idle], limit=IDLE_MB))
        rows += _sessions(flare, chosen)
        flare.disconnect()
        rows += _rounds(flare, SMALL, chosen.small_rounds, SMALL_MS)
        small = next(row for row in rows if row.what.startswith("round"))
        rows += _rounds(flare, chosen.large, chosen.large_rounds, LARGE_MS)
        flare.disconnect()
        rows.append(_stock(flare, chosen, small))
        disk = write_seconds(flare.root, 4 * chosen.large) * 1e3
    notes = (
        "Server, keeper and three sites are processes on 127.0.0.1 under mTLS. In a "
        "round everything is real but the torch worker, which answers at once.",
        f"A file of the large round's size takes this disk {disk:.0f} ms; a durable "
        "round writes four.",
        "Stock FLARE: FedAvg with NPTrainer, which adds one; its rounds are read from "
        "its own log.",
    )
    return Report("rounds --engine flare", tuple(rows), notes)


def _sessions(flare: FlareFederation, chosen: Settings) -> list[FlareRow]:
    """Open sessions, and ask for statistics in the last."""
    opened = []
    while True:
        began = time.perf_counter()
        federation = flare.connect()
        opened.append(time.perf_counter() - began)
        if len(opened) >= chosen.sessions:
            break
        flare.disconnect()
    columns = ["age", "months", "idh"]
    calls = []
    for _ in range(chosen.calls + 1):
        began = time.perf_counter()
        federation.statistics(TABLE, columns)
        calls.append((time.perf_counter() - began) * 1e3)
    return [
        _row("session up", "s", opened, limit=SESSION_S),
        _row("first statistics call", "ms", calls[:1]),
        _row("statistics from the notebook", "ms", calls[1:], limit=STATISTICS_MS),
    ]


def _rounds(
    flare: FlareFederation, parameters: int, rounds: int, limit: float
) -> list[FlareRow]:
    """Time rounds of one size, without and with the secure sum."""
    name = f"round of {_size(4 * parameters)}"
    plain = flare.time_rounds(parameters, rounds, secure=False)
    secure = flare.time_rounds(parameters, rounds, secure=True)
    return [
        _timed(name, plain, limit=limit),
        _timed(f"{name}, secure sum", secure, plain=plain),
    ]


def _timed(
    what: str, timed: Timed, *, limit: float = 0.0, plain: Timed | None = None
) -> FlareRow:
    values = [seconds * 1e3 for seconds in timed.seconds]
    middle = median(values)
    ratio = None
    target = Target(what, middle, limit, "ms")
    if plain is not None:
        ratio = middle / (median(plain.seconds) * 1e3)
        target = Target(f"{what} over plain", ratio, SECURE_RATIO, "x plain")
    cpu = timed.cpu * 1e3
    return FlareRow(what, "ms", len(values), middle, upper(values), cpu, ratio, target)


def _stock(flare: FlareFederation, chosen: Settings, small: FlareRow) -> FlareRow:
    """Time FLARE's own FedAvg at 1 KB, beside fednb's rounds of the same size."""
    admin = flare.admin()
    try:
        seconds = time_stock(
            admin,
            flare.kits[COORDINATOR],
            sites=len(SITES),
            parameters=SMALL,
            rounds=chosen.stock_rounds,
        )
    finally:
        admin.log_out()
    values = [1e3 * one for one in seconds]
    middle = median(values)
    what = f"round of {_size(4 * SMALL)}, stock FLARE FedAvg"
    ratio = middle / small.median
    return FlareRow(what, "ms", len(values), middle, upper(values), None, ratio)


def _row(
    what: str, unit: str, values: Sequence[float], *, limit: float | None = None
) -> FlareRow:
    middle = median(values)
    target = None if limit is None else Target(what, middle, limit, unit)
    return FlareRow(what, unit, len(values), middle, upper(values), target=target)


def _size(size: int) -> str:
    return f"{size / 1e6:g} MB" if size >= 1e6 else f"{size / 1e3:.3g} KB"

"""The same hospitals behind either engine, and the owners who decide there."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import psutil
from small_studies import SITES

from fednb.coordinator.store import Store
from fednb.embedded.federation import Federation as Embedded
from fednb.flare import processes
from fednb.flare.provision import ProjectSpec, SiteSpec
from fednb.flare.session import connect
from fednb.owner import SiteOwner
from fednb.phantom.demo import COLUMNS, DATASET, place_of
from fednb.phantom.render import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fednb.coordinator.federation import Federation
    from fednb.coordinator.handles import Request, Run
    from fednb.records.specs import Plan

USER = "scientist@fednb.local"
OTHER = "colleague@fednb.local"
TERMS = {"dataset": DATASET, "purpose": "IDH from small volumes", "profile": "open"}
SECONDS = 120.0
Made = TypeVar("Made")
_WORKER = "fednb.site.tasks.worker"


@dataclass
class World:
    """A federation, and the homes behind it; owners decide by hand."""

    engine: str
    fed: Federation
    root: Path
    kits: dict[str, Path] = field(default_factory=dict)
    project: ProjectSpec | None = None
    kept: dict[str, object] = field(default_factory=dict)

    def owner(self, site: str) -> SiteOwner:
        """Return the owner of a site, beside whatever serves the home."""
        return SiteOwner(self.root / site)

    def approve(self, request: Request, sites: tuple[str, ...] = SITES) -> Request:
        """Play the owners: each approves, in the home."""
        for site in sites:
            with self.owner(site) as owner:
                owner.requests[request.hash].approve(note="seen by hand")
        return request

    def ask(self, plan: Plan, **terms: object) -> Request:
        """Request a plan; nobody has decided on it yet."""
        return self.fed.request(plan, **{**TERMS, **terms})

    def start(self, plan: Plan, **terms: object) -> Run:
        """Request, approve by hand, and start."""
        return self.approve(self.ask(plan, **terms)).start()

    def once(self, name: str, make: Callable[[World], Made]) -> Made:
        """Return what was made here before under a name, or make it."""
        if name not in self.kept:
            self.kept[name] = make(self)
        return self.kept[name]

    def workers(self) -> list[psutil.Process]:
        """Return the sites' torch workers that run now."""
        if not self.kits:
            pid = self.fed._worker.pid
            return [psutil.Process(pid)] if pid else []
        kits = [self.kits[site] for site in SITES]
        return _named(processes.processes_of(kits), _WORKER)

    def working(self) -> list[psutil.Process]:
        """Return the torch workers once they compute: one a site, embedded only one."""
        wanted = len(SITES) if self.kits else 1
        idle = {p.pid: _seconds(p) for p in self.workers()}

        def busy() -> list[psutil.Process]:
            return [p for p in self.workers() if _seconds(p) > idle.get(p.pid, 0) + 0.1]

        until(lambda: len(busy()) == wanted)
        return busy()

    def site_worker(self, site: str) -> psutil.Process:
        """Return the process in which a site serves the session."""
        found = processes.processes_of([self.kits[site]])
        (worker,) = _named(found, "nvflare.private.fed.app.client.worker_process")
        return worker

    def rounds_of(self, run: str) -> int:
        """Return how many rounds the coordinator's home holds of a run."""
        store = Store(self.root / "coordinator")
        try:
            return len(store.rounds(run, 0))
        finally:
            store.close()

    def status_of(self, run: str) -> str:
        """Return how a run stands in the coordinator's home; nobody is asked."""
        store = Store(self.root / "coordinator")
        try:
            return store.find_run(run).status
        finally:
            store.close()


def until(true: Callable[[], object]) -> None:
    """Return when something has become so; fail where it does not in time."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def make_homes(hospitals: Path, root: Path) -> dict[str, Path]:
    """Make a home a hospital, over volumes that are there; nothing approves itself."""
    for site in SITES:
        place = place_of(hospitals, site)
        with SiteOwner.init(root / site, site, profile="open") as owner:
            owner.policy.set(auto_approve=())
            owner.create_dataset(
                DATASET,
                images=place.images,
                table=place.table,
                columns=COLUMNS,
                modalities=MODALITIES,
                mock=hospitals / "mock" / site,
                labels=("idh", "death", "os_months"),
                synthetic=True,
            )
    return {site: root / site for site in SITES}


@contextlib.contextmanager
def embedded_world(hospitals: Path, root: Path) -> Iterator[World]:
    """Serve the hospitals in this process."""
    homes = make_homes(hospitals, root)
    with Embedded(homes, root / "coordinator", scientist=USER) as fed:
        yield World("embedded", fed, root)


@contextlib.contextmanager
def flare_world(hospitals: Path, root: Path) -> Iterator[World]:
    """Serve the hospitals as processes under mTLS, and leave none of them behind."""
    homes = make_homes(hospitals, root)
    project = ProjectSpec(
        "trial",
        tuple(SiteSpec(site, str(home)) for site, home in homes.items()),
        port=processes.free_port(),
        scientists=(USER, OTHER),
        home=str(root / "coordinator"),
    )
    try:
        kits = processes.up(root, project)
        with connect(kits[USER]) as fed:
            yield World("flare", fed, root, kits, project)
    finally:
        processes.down(root)
        left = processes_under(root)
    assert left == []
    assert {s.pid for s in processes.status(root)} == {0}


def processes_under(root: Path) -> list[psutil.Process]:
    """Return every process that names a folder on its command line."""
    return _named(psutil.process_iter(), str(root))


def _named(found: Iterable[psutil.Process], part: str) -> list[psutil.Process]:
    named = []
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(part in argument for argument in process.cmdline()):
                named.append(process)
    return named


def _seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0

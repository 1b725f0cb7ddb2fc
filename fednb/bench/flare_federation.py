"""A FLARE federation of processes on this machine, for a bench: made, timed, ended."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import pandas as pd
import psutil

from fednb.bench.echo import Timed, tiny_dataset
from fednb.bench.flare_site import EXECUTOR as ECHO
from fednb.bench.flare_stock import CLIENT_CLASSES, SERVER_CLASSES
from fednb.bench.statistics import simulate
from fednb.coordinator.contracting import Scientist
from fednb.coordinator.federation import Federation
from fednb.coordinator.store import Store
from fednb.errors import HomeError
from fednb.flare.admin import Admin
from fednb.flare.kit import Kit
from fednb.flare.processes import KITS, down, free_port, processes_of, up
from fednb.flare.provision import COORDINATOR, ProjectSpec, SiteSpec, provision
from fednb.flare.session import FlarePort
from fednb.imaging.quality import infer_columns
from fednb.owner import SiteOwner
from fednb.owner.introductions import introduce
from fednb.records.service import Prepare, Prepared
from fednb.records.tasks import TrainingPlan
from fednb.wire.codec import decode_service_ask, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

SITES: Final = ("a", "b", "c")
USER: Final = "scientist@fednb.local"
SECONDS: Final = 300.0
"""Most that a run of the bench may take."""

IMAGES: Final = "echo"
TABLE: Final = "table"
_SITE_PROCESS: Final = "nvflare.private.fed.app.client.client_train"
_CONNECT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class FlareFederation:
    """Server, keeper and three sites as processes, with their homes in one folder.

    Parameters
    ----------
    rows
        Patients in the table, all sites together.
    """

    def __init__(self, rows: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fednb-bench-"))
        self.kits: dict[str, Path] = {}
        self._rows = rows
        self._fed: Federation | None = None
        self._port: _PreparedPort | None = None

    def __enter__(self) -> Self:
        """Make homes and kits; nothing is started."""
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._make_homes()
            self._provision()
            undo.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """End what was started and delete what was made, whatever happened."""
        self.close()

    def close(self) -> None:
        """End the session and all processes, and delete the folder."""
        try:
            if self._fed is not None:
                self._fed.close()
        finally:
            down(self.root)
            shutil.rmtree(self.root, ignore_errors=True)

    def start(self) -> float:
        """Start all processes; return the seconds until every site is connected."""
        began = time.perf_counter()
        up(self.root, self._project)
        admin = self.admin()
        try:
            while not set(SITES) <= admin.clients():
                if time.perf_counter() - began > _CONNECT_SECONDS:
                    message = f"The sites did not connect in {_CONNECT_SECONDS:g} s."
                    raise HomeError(message)
                time.sleep(_POLL_SECONDS)
        finally:
            admin.log_out()
        return time.perf_counter() - began

    def admin(self) -> Admin:
        """Return the scientist's connection to the server, logged in."""
        admin = Admin(Kit(self.kits[USER]))
        admin.log_in()
        return admin

    def parents_mb(self) -> float:
        """Return the resident memory of the largest site process, in MB."""
        processes = processes_of([self.kits[site] for site in SITES])
        sizes = [p.memory_info().rss for p in processes if _SITE_PROCESS in p.cmdline()]
        return float(max(sizes)) / 1e6

    def connect(self, executor: str = "") -> Federation:
        """Open a session and return its federation, once every site has answered.

        Parameters
        ----------
        executor
            Class that serves at the sites; empty: fednb's own.
        """
        kit = Kit(self.kits[USER])
        if executor:
            admin = self.admin()
            try:
                admin.submit(executor)
            finally:
                admin.log_out()
        keys = self.root / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        scientist = Scientist(keys, kit.config.party)
        port = FlarePort(kit, scientist.public_key)
        self._port = _PreparedPort(port, self.root / COORDINATOR)
        self._fed = Federation(self._port, scientist)
        for site in SITES:
            self._fed[site].ping()
        return self._fed

    def disconnect(self) -> None:
        """End the session, where there is one, and wait until it has ended."""
        port, self._port, self._fed = self._port, None, None
        if port is None:
            return
        port.end()
        admin = self.admin()
        try:
            deadline = time.monotonic() + _CONNECT_SECONDS
            while admin.sessions() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        finally:
            admin.log_out()

    def time_rounds(self, parameters: int, rounds: int, *, secure: bool) -> Timed:
        """Run a training contract in the session and return how long rounds took.

        Parameters
        ----------
        parameters
            Number of float32 weights.
        rounds
            Number of rounds that are timed.
        secure
            Whether the secure sum carries the updates.
        """
        fed, port = self._fed, self._port
        if fed is None or port is None:
            fed, port = self.connect(ECHO), self._port
        if port is not None:
            port.parameters = parameters
        plan = TrainingPlan("small-cnn-3d", "label", rounds=rounds + 2, size=(8, 8, 8))
        request = fed.request(plan, dataset=IMAGES, purpose="rounds", secure_sum=secure)
        before = self._cpu()
        run = request.start().wait(SECONDS)
        cpu = (self._cpu() - before) / (rounds + 2)
        times = [e.time for e in run.events() if e.kind == "round"]
        if len(times) != rounds + 2:
            run.result()
        # the first round makes files, caches and threads that later ones find
        return Timed(tuple(float(step) for step in np.diff(times)[1:]), cpu)

    def _cpu(self) -> float:
        """Return the processor time so far of all processes, in seconds."""
        spent = 0.0
        for process in processes_of(list(self.kits.values())):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system
        return spent

    def _make_homes(self) -> None:
        table, images = tiny_dataset(self.root / "data")
        frames = simulate(self._rows)
        columns = infer_columns(pd.concat(frames.values(), ignore_index=True))
        owners = []
        for site in SITES:
            owner = SiteOwner.init(self.root / site, site, profile="open")
            owners.append(owner)
            owner.policy.set(auto_approve=("all",))
            owner.create_dataset(IMAGES, table=table, images=images, synthetic=True)
            frame = frames[site]
            frame = frame.assign(patient_id=[f"{site}-{n}" for n in frame.index])
            owner.create_dataset(TABLE, table=frame, columns=columns, synthetic=True)
        introduce(owners)

    def _provision(self) -> None:
        self._project = ProjectSpec(
            "fednb-bench",
            tuple(SiteSpec(site, str(self.root / site)) for site in SITES),
            port=free_port(),
            scientists=(USER,),
            home=str(self.root / COORDINATOR),
        )
        self.kits = provision(self._project, self.root / KITS)
        _allow(self.kits[COORDINATOR], SERVER_CLASSES)
        for site in SITES:
            _allow(self.kits[site], (ECHO, *CLIENT_CLASSES))


class _PreparedPort:
    """A port that makes initial weights of any size by itself: torch makes none such.

    Parameters
    ----------
    port
        To the service.
    home
        The coordinator's.
    """

    def __init__(self, port: FlarePort, home: Path) -> None:
        self.parameters = 256
        self._port = port
        self._home = home
        self.end = port.end
        self.close = port.close

    def call(self, message: bytes) -> bytes:
        """See `fednb.wire.transport.ServicePort.call`."""
        if not isinstance(decode_service_ask(message), Prepare):
            return self._port.call(message)
        store = Store(self._home)
        try:
            zeros = np.zeros(self.parameters, dtype=np.float32)
            return encode(Prepared(store.put_weights(zeros), self.parameters))
        finally:
            store.close()


def _allow(kit: Path, classes: Sequence[str]) -> None:
    """Add classes to those that a party of the bench runs."""
    path = kit / "local" / "resources.json"
    resources = json.loads(path.read_bytes())
    resources["class_allow_list"] += classes
    path.write_text(json.dumps(resources))

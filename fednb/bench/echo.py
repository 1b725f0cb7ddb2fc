"""A federation whose torch worker answers at once: all but the training is real."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from typing_extensions import override

from fednb.config import PROTOCOL_FRAME_BYTES
from fednb.coordinator.contracting import Scientist
from fednb.coordinator.federation import Federation as BaseFederation
from fednb.coordinator.service import Service
from fednb.coordinator.store import Store
from fednb.errors import RunStoppedError
from fednb.owner import SiteOwner
from fednb.owner.introductions import introduce
from fednb.records.arrays import Array, pack, unpack
from fednb.records.tasks import TrainingPlan
from fednb.site.server import SiteServer
from fednb.site.worker_process import WorkerProcess
from fednb.wire.inproc import InProcessTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.records.service import Prepare

PATIENTS = 12
METRICS = np.array([100.0, 60.0, 0, 0, 0, 0, 0])
"""What a site's training would report: 100 patients, mean loss .6, no validation."""


class _Asked(msgspec.Struct, tag="Job"):
    """The fields of a job frame that an echo looks at."""

    id: str
    arrays: dict[str, Array]


class _Answered(msgspec.Struct, tag="JobResult"):
    """A result frame."""

    id: str
    vectors: dict[str, Array]
    patients: int


class EchoWorker(WorkerProcess):
    """Stands where the worker process stands, and answers every job at once.

    It decodes the frame and hands back an update of the weights' size; no process is
    started, nothing is trained, and nothing crosses a pipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[int, bytes] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Asked)

    @override
    def run(
        self,
        job: bytes,
        *,
        seconds: float,
        allowed: Callable[[], bool],
        last: Callable[[bytes], bool],
    ) -> bytes:
        """Answer a job; see `WorkerProcess.run`."""
        del seconds
        if not allowed():
            message = "The task was stopped before it began."
            raise RunStoppedError(message, cause="stopped")
        asked = self._decoder.decode(job)
        frame = self._answer(unpack(asked.arrays["weights"]).size)
        last(frame)
        return frame

    def _answer(self, size: int) -> bytes:
        """Return the frame of a result, made once: its making is not measured."""
        if size not in self._answers:
            rng = np.random.default_rng(size)
            update = rng.standard_normal(size, dtype=np.float32) * np.float32(1e-3)
            vectors = {"update": pack(update), "metrics": pack(METRICS)}
            self._answers[size] = self._encoder.encode(_Answered("echo", vectors, 100))
        return self._answers[size]


@dataclass(frozen=True)
class Timed:
    """How long rounds took.

    Attributes
    ----------
    seconds
        Wall time from each checkpoint to the next.
    cpu
        Mean processor time of a round over all threads, in seconds.
    """

    seconds: tuple[float, ...]
    cpu: float


class EchoFederation(BaseFederation):
    """Embedded sites over a tiny image dataset, sharing an `EchoWorker`.

    Parameters
    ----------
    sites
        How many.
    folder
        Where the homes are made; None: a temporary folder, deleted on `close`.
    """

    def __init__(self, sites: int, folder: Path | None = None) -> None:
        self._owned = None if folder else Path(tempfile.mkdtemp(prefix="fednb-bench-"))
        self.root = folder or self._owned or Path()
        self.parameters = 256
        table, images = tiny_dataset(self.root / "data")
        names = [f"site{n:02d}" for n in range(sites)]
        owners = []
        for name in names:
            owner = SiteOwner.init(self.root / name, name, profile="open")
            owner.policy.set(auto_approve=("all",))
            owner.create_dataset("echo", table=table, images=images, synthetic=True)
            owners.append(owner)
        introduce(owners)
        worker = EchoWorker()
        self._servers = {
            n: SiteServer(self.root / n, worker, in_call=True) for n in names
        }
        self.transport = InProcessTransport(
            {n: server.handle for n, server in self._servers.items()}
        )
        self._cpu: list[float] = []
        self.transport.observe(self._watch)
        store = Store(self.root / "coordinator")
        service = Service(store, self.transport, self._initialise)
        super().__init__(service, Scientist(store.folder("keys"), "bench"))

    @override
    def close(self) -> None:
        """End the runs and the servers, and delete what was made."""
        super().close()
        for server in self._servers.values():
            server.close()
        if self._owned is not None:
            shutil.rmtree(self._owned, ignore_errors=True)

    def time_rounds(self, parameters: int, rounds: int, *, secure: bool) -> Timed:
        """Run a training contract and return how long its rounds took.

        Parameters
        ----------
        parameters
            Number of float32 weights.
        rounds
            Number of rounds that are timed.
        secure
            Whether the secure sum carries the updates.
        """
        self.parameters = parameters
        plan = TrainingPlan("small-cnn-3d", "label", rounds=rounds + 2, size=(8, 8, 8))
        request = self.request(plan, purpose="rounds", secure_sum=secure)
        run = request.start().wait()
        times = [e.time for e in run.events() if e.kind == "round"]
        if len(times) != rounds + 2:
            run.result()
        # the first round makes files, caches and threads that later ones find
        seconds = tuple(float(step) for step in np.diff(times)[1:])
        cpu = (self._cpu[-1] - self._cpu[-1 - rounds]) / rounds
        return Timed(seconds, cpu)

    def _watch(self, site: str, direction: str, message: bytes) -> None:
        """Note the processor time whenever a round's outputs leave the first site."""
        first = site == min(self._servers) and direction == "from-site"
        # states, padded to one size, are no releases
        if first and len(message) != PROTOCOL_FRAME_BYTES:
            self._cpu.append(time.process_time())

    def _initialise(self, ask: Prepare) -> NDArray[np.float32]:
        del ask
        return np.zeros(self.parameters, dtype=np.float32)


def tiny_dataset(folder: Path) -> tuple[Path, Path]:
    """Write a table and volumes of 8^3 that a training plan accepts."""
    import nibabel as nib

    images = folder / "images"
    rng = np.random.default_rng(0)
    lines = ["patient_id,label"]
    for number in range(PATIENTS):
        patient = images / f"p{number:02d}"
        patient.mkdir(parents=True)
        volume = rng.normal(size=(8, 8, 8)).astype(np.float32)
        image = nib.Nifti1Image(volume, np.eye(4))  # type: ignore[no-untyped-call]
        nib.save(image, patient / "T1c.nii.gz")
        lines.append(f"{patient.name},{number % 2}")
    table = folder / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    return table, images

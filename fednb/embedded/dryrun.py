"""Dry runs: plans and contracts on throw-away sites over mock data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from fednb.errors import PlanError
from fednb.owner import SiteOwner
from fednb.owner.introductions import introduce
from fednb.privacy.secure_sum import MINIMUM_SITES
from fednb.records.arrays import unpack
from fednb.records.messages import Call, Release
from fednb.records.studies import STUDY, StudyPlan
from fednb.records.tasks import ModelRef, TrainingPlan
from fednb.results.rehearsal import Cost, Rehearsal, Rehearsed
from fednb.wire.codec import decode_ask, decode_reply

if TYPE_CHECKING:
    from fednb.coordinator.mockdata import MockData
    from fednb.records.contracts import Contract
    from fednb.records.outputs import Output
    from fednb.records.specs import Plan
    from fednb.records.tasks import AnyPlan
    from fednb.site.walls import Demand

Opener = Callable[[dict[str, Path], Path], Any]
"""Opens an embedded federation over homes and a coordinator's folder."""

_PURPOSE: Final = "dry run on mock data"
_SAMPLE: Final = 4
_NOISE: Final = frozenset({"masked", "sealed"})


@dataclass(frozen=True)
class DryRuns:
    """Runs plans and contracts on throw-away sites over a mock.

    Attributes
    ----------
    open
        Opens the embedded federation that runs them.
    """

    open: Opener

    def __call__(self, plan: Plan, mock: MockData) -> Any:  # noqa: ANN401
        """Run a plan with one round, and return its result marked as a dry run."""
        # a scientist's own code on the scientist's own machine
        with self._federation(mock, 1, "where-possible") as dry:
            request = dry.request(_short(plan), purpose=_PURPOSE)
            _approve(dry, request)
            return request.start(dry_run=True).result()

    def rehearse(
        self, contract: Contract, mock: MockData, patients: int = 0
    ) -> Rehearsal:
        """Run a contract's steps with one round each, and record what leaves.

        Up to three throw-away sites hold the mock, so that outputs are protected as
        the contract says; thresholds are off, since the mock is small.

        Parameters
        ----------
        contract
            Of the dataset whose mock this is.
        mock
            The mock half.
        patients
            Of the real dataset, to which time is scaled; 0: those of the mock.

        Raises
        ------
        PlanError
            A step builds on the result of another contract, which the mock lacks.
        FednbError
            The steps do not run on the mock; says why.
        """
        check_alone(contract)
        # without a secure sum a third site would bring it back
        most = MINIMUM_SITES if contract.privacy.secure_sum else 1
        sites = min(len(contract.participants), most)
        tape = _Tape()
        # whoever asks may not have read the code yet
        with self._federation(mock, sites, "required") as dry:
            dry.transport.observe(tape)
            _run(dry, contract, tape)
            memory = _peak(dry.worker_pid)
        rows = len(mock.patients) or len(mock.table)
        scale = _Scale(contract, sites, (patients or rows) / max(rows, 1))
        cost = replace(tape.cost(scale), memory=memory)
        cost = replace(cost, patients=patients or rows, mock_patients=rows)
        return Rehearsal(contract.hash(), tape.rehearsed(sites), cost)

    @contextmanager
    def _federation(
        self, mock: MockData, sites: int, confinement: Demand
    ) -> Iterator[Any]:
        with tempfile.TemporaryDirectory(prefix="fednb-dry-") as name:
            root = Path(name)
            files = mock.save(root / "mock")
            table = mock.table
            images = files / "images" if mock.patients else None
            if images is not None:
                table = table[table["patient_id"].isin(mock.patients)]
            names = ["dry"] if sites == 1 else [f"dry-{n}" for n in range(sites)]
            homes = {name: root / name for name in names}
            with ExitStack() as opened:
                owners = [
                    opened.enter_context(SiteOwner.init(home, name, profile="open"))
                    for name, home in homes.items()
                ]
                for owner in owners:
                    owner.policy.set(
                        auto_approve=("all",),
                        custom_code="ask",
                        confinement=confinement,
                        # nobody stands behind a mock: there is nothing to spend
                        max_epsilon=1e6,
                        max_delta=0.01,
                    )
                    owner.create_dataset(
                        mock.card.dataset,
                        table=table,
                        images=images,
                        columns=mock.card.columns,
                        synthetic=True,
                    )
                introduce(owners)
            with self.open(homes, root / "coordinator") as dry:
                yield dry


def _run(dry: Any, contract: Contract, tape: _Tape) -> None:  # noqa: ANN401
    """Run a contract's steps; what is set up before is not measured."""
    steps = contract.steps
    plan = StudyPlan(steps) if len(steps) > 1 else steps[0]
    secure = contract.privacy.secure_sum
    terms = {"purpose": _PURPOSE, "profile": "open", "secure_sum": secure}
    request = dry.request(_short(plan), **terms)
    _approve(dry, request)
    tape.start()
    request.start(dry_run=True).results()


def _approve(dry: Any, request: Any) -> None:  # noqa: ANN401
    """Let the throw-away sites run code, which no policy approves by itself."""
    for site in request.contract.sites():
        with dry.owner(site) as owner:
            asked = owner.requests[request.hash]
            if asked.status == "pending":
                asked.approve(note="dry run")


def check_alone(contract: Contract) -> None:
    """Refuse a contract that needs what another one made.

    Raises
    ------
    PlanError
        Names the step.
    """
    for number, plan in enumerate(contract.steps):
        model = getattr(plan, "model", None)
        embedding = getattr(plan, "embedding", None)
        elsewhere = isinstance(model, ModelRef) and not model.sha256.startswith("step:")
        if elsewhere or (embedding is not None and embedding.contract != STUDY):
            message = (
                f"No dry run: step {number} builds on the result of another contract, "
                "which the mock does not have. The outputs and their sizes are in the "
                "contract."
            )
            raise PlanError(message)


@dataclass(frozen=True)
class _Scale:
    """From a dry run to a whole run at one site."""

    contract: Contract
    sites: int
    patients: float

    def rounds(self, step: int) -> int:
        plan = self.contract.steps[step]
        return plan.rounds if isinstance(plan, TrainingPlan) else 1


@dataclass
class _Tape:
    """What crosses in a dry run, message by message."""

    begun: float = 0.0
    ended: dict[int, float] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    outputs: dict[tuple[int, str], list[Output]] = field(default_factory=dict)

    def start(self) -> None:
        """Begin to measure: what came before was set-up."""
        self.begun = time.monotonic()

    def __call__(self, _site: str, direction: str, frame: bytes) -> None:
        if direction == "to-site":
            ask = decode_ask(frame)
            if isinstance(ask, Call):
                step = ask.place.step
                self.sent[step] = self.sent.get(step, 0) + len(frame)
            return
        reply = decode_reply(frame)
        if isinstance(reply, Release):
            self.ended[reply.place.step] = time.monotonic()
            for output in reply.outputs:
                place = (reply.place.step, output.name)
                self.outputs.setdefault(place, []).append(output)

    def rehearsed(self, sites: int) -> tuple[Rehearsed, ...]:
        """Return each output once, as the largest release of it was."""
        found = []
        for (step, name), seen in sorted(self.outputs.items()):
            largest = max(seen, key=lambda o: o.data.data.nbytes)
            data = largest.data
            times = -(-len(seen) // sites)
            size = data.data.nbytes
            shown = (data.shape, data.dtype, size, times, _sample(largest))
            found.append(Rehearsed(step, name, largest.kind, *shown))
        return tuple(found)

    def cost(self, scale: _Scale) -> Cost:
        """Return what a whole run would take a site; sites here take turns."""
        seconds, since = 0.0, self.begun
        for step, until in sorted(self.ended.items()):
            factor = scale.rounds(step) * scale.patients / scale.sites
            seconds += max(until - since, 0.0) * factor
            since = until
        leaving = sum(
            o.data.data.nbytes * scale.rounds(step)
            for (step, _), seen in self.outputs.items()
            for o in seen
        )
        reaching = sum(n * scale.rounds(step) for step, n in self.sent.items())
        return Cost(
            seconds=seconds,
            memory=0,
            bytes_out=leaving // scale.sites,
            bytes_in=reaching // scale.sites,
            patients=0,
            mock_patients=0,
        )


def _sample(output: Output) -> str:
    """Return the beginning of an output of mock data, cut."""
    if output.kind in _NOISE:
        return f"noise: {bytes(output.data.data[:8]).hex(' ')} ..."
    values = np.asarray(unpack(output.data)).ravel()
    words = ", ".join(f"{value:.4g}" for value in values[:_SAMPLE].tolist())
    return f"{words}, ..." if values.size > _SAMPLE else words


def _peak(pid: int) -> int:
    """Return the peak of a process's main memory in bytes; 0 where it is not told."""
    status = Path(f"/proc/{pid}/status")
    if not pid or not status.is_file():
        return 0
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _short(plan: Plan | AnyPlan) -> Any:  # noqa: ANN401  (the same kind of plan)
    """Return a plan with one round: a dry run shows that a plan runs, no more."""
    if isinstance(plan, TrainingPlan):
        often = min(plan.validate_every, 1)
        return msgspec.structs.replace(plan, rounds=1, validate_every=often)
    if isinstance(plan, StudyPlan):
        return StudyPlan(tuple(_short(step) for step in plan.steps))
    return plan

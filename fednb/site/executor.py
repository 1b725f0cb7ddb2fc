"""Runs tasks at a site: light ones in this process, torch ones in the worker."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fednb.errors import FednbError, IntegrityError
from fednb.privacy.disclosure import round_count
from fednb.privacy.fits import FitBook
from fednb.privacy.metrics import safe_evaluation_metrics, safe_training_metrics
from fednb.privacy.rules import Safe
from fednb.privacy.tables import DescribeLayout
from fednb.records.arrays import unpack, unpack_all
from fednb.records.carried import codes_of
from fednb.records.code import Code
from fednb.records.outputs import Decision
from fednb.records.specs import ModelSpec, SummedPlan
from fednb.records.tasks import (
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    QueryPlan,
    StatisticsPlan,
    TrainingPlan,
)
from fednb.site.tasks.cohort import settled
from fednb.site.tasks.confined import Watch, initialise_confined, run_confined
from fednb.site.tasks.describe import describe
from fednb.site.tasks.job import Handover, InitialiseJob, Job, JobResult, Progress
from fednb.site.tasks.statistics import statistics
from fednb.site.tasks.summed import SiteHalf, site_half
from fednb.site.walls import Terms
from fednb.survival.deepcox import HazardSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.site.work import Work
    from fednb.site.worker_process import WorkerProcess
    from fednb.survival.registry import Analysis

_KEPT_HALVES = 4
_KEPT_PATIENTS = 50_000
"""Patients of all kept halves together: a large table's is kept alone."""
_CORES = ThreadPoolExecutor(os.cpu_count() or 1, "light")
"""Where sites of one process compute: more threads than cores would only take memory.

What a thread lets go is kept for itself by the C library, so they are always the same.
"""
INITIALISE_SECONDS = 120.0
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Progress | JobResult)


@dataclass(frozen=True)
class Product:
    """What a task computed: private until `fednb.site.release` has passed it.

    Attributes
    ----------
    vectors
        Arrays by output name.
    decisions
        Verdicts of the disclosure rules that the task applied.
    by_cell
        Whether each verdict is of one cell, which the task has suppressed already;
        otherwise one denial stops the whole product.
    """

    vectors: dict[str, NDArray[np.generic]]
    decisions: tuple[Decision, ...] = ()
    by_cell: bool = False

    @property
    def denial(self) -> Decision | None:
        """The verdict that stops the product, or None."""
        if self.by_cell:
            return None
        return next((d for d in self.decisions if not d.allow), None)


@dataclass(frozen=True, eq=False)
class _Kept:
    """A half that is kept between the rounds of a run, and the patients it is of."""

    half: SiteHalf
    patients: int


@dataclass
class Executor:
    """Runs the work of one site, one task at a time.

    Attributes
    ----------
    worker
        The torch worker; several embedded sites share one.
    """

    worker: WorkerProcess
    _stopped: set[str] = field(default_factory=set)
    _halves: dict[tuple[str, int], _Kept] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def stop(self, run: str) -> None:
        """Stop a run for good: a task of it is killed, later ones do not begin."""
        self._stopped.add(run)

    def stopped(self, run: str) -> bool:
        """Whether a run was stopped here."""
        return run in self._stopped

    def is_light(self, work: Work) -> bool:
        """Whether the work runs in this process, within the call."""
        kinds = QueryPlan | SummedPlan
        return isinstance(work.plan, kinds)

    def execute(
        self,
        work: Work,
        *,
        allowed: Callable[[], bool],
        progress: Callable[[int, int], None] | None = None,
    ) -> Product:
        """Run the work and return what it computed.

        Parameters
        ----------
        work
            What to run.
        allowed
            Whether the contract is still in force; asked while a torch task runs.
        progress
            Called with done and total.

        Raises
        ------
        FednbError
            The task failed, was stopped, or exceeded a cap.
        """
        if self.is_light(work):
            with self._turn:
                return _CORES.submit(self._light, work).result()

        self._check_initial(work)

        def going_on() -> bool:
            return not self.stopped(work.place.run) and allowed()

        result = self._compute(work, going_on, progress)
        if result.error:
            raise _failure(result)
        vectors = unpack_all(result.vectors)
        if isinstance(work.plan, EmbeddingPlan):
            n, width = (round(float(v)) for v in vectors["receipt"][:2])
            stored = (round_count(n, work.profile), width)
            return Product({"receipt": np.asarray(stored, dtype=np.float64)})
        if "metrics" in vectors:
            vectors["metrics"] = _safe_metrics(vectors["metrics"], work)
        if "baseline" in vectors and not work.profile.exact:
            sums = HazardSums.from_vector(vectors["baseline"])
            vectors["baseline"] = sums.rounded().to_vector()
        enough = Decision(
            allow=result.patients >= work.profile.threshold,
            rule="disclosure.2-threshold",
            reason=f"{result.patients} patients; the threshold is "
            f"{work.profile.threshold}.",
            threshold=float(work.profile.threshold),
        )
        return Product(vectors, (enough,))

    def _compute(
        self,
        work: Work,
        allowed: Callable[[], bool],
        progress: Callable[[int, int], None] | None,
    ) -> JobResult:
        """Run a torch task; one with a requester's own code in a process of its own."""
        job, seconds = _job(work), work.seconds

        def warm(asked: Job | Handover) -> JobResult:
            watched = progress if asked is job else None
            return run_job(
                self.worker,
                asked,
                seconds=seconds,
                allowed=allowed,
                progress=watched,
            )

        if not codes_of(work.plan):
            return warm(job)
        return run_confined(
            job, work.known.terms, Watch(seconds, allowed, progress), warm
        )

    def _check_initial(self, work: Work) -> None:
        """Refuse initial weights that were chosen: they are what the seed makes."""
        plan = work.plan
        if not isinstance(plan, TrainingPlan) or work.place.round or work.profile.exact:
            return
        made = initial_weights(
            self.worker,
            plan.network,
            channels=len(plan.modalities),
            covariates=len(plan.covariates),
            seed=plan.seed,
            terms=work.known.terms,
        )
        if not np.array_equal(made, unpack(work.arrays["weights"])):
            message = (
                f"The initial weights are not those that seed {plan.seed} makes here. "
                "Compare the versions of torch at the sites and the coordinator."
            )
            raise IntegrityError(message)

    def forget(self, run: str) -> None:
        """Drop what is kept in memory for a run."""
        # a copy: a task of another run may add to it meanwhile
        for key in [k for k in tuple(self._halves) if k[0] == run]:
            self._halves.pop(key, None)

    def _light(self, work: Work) -> Product:
        plan = work.plan
        book = work.page.book if work.page else None
        if isinstance(plan, DescribePlan):
            asked = DescribeLayout.from_plan(plan)
            vector, decisions = describe(_job(work), work.profile, asked, book)
            return Product({"table": vector}, decisions, by_cell=True)
        if isinstance(plan, StatisticsPlan) and work.layout is not None:
            vector, decisions = statistics(_job(work), work.profile, work.layout, book)
            return Product({"table": vector}, decisions, by_cell=True)
        if work.analysis is None or work.stage is None:
            message = f"{type(plan).__name__} lacks its analysis."
            raise FednbError(message)
        key = (work.place.run, work.place.step)
        kept = self._halves.get(key)
        half = kept.half if kept else None
        begun: tuple[Decision, ...] = ()
        # a first round that was not released is settled anew: its book has gone
        if half is None or work.round == 0:
            half, begun = self._begin(work, work.analysis)
        if half is None:
            return Product({}, begun)
        vector, decisions = half.vector(work.stage, work.profile)
        return Product({work.stage.phase: vector}, (*begun, *decisions))

    def _begin(
        self, work: Work, analysis: Analysis
    ) -> tuple[SiteHalf | None, tuple[Decision, ...]]:
        """Build the site half of a summed step on the patients that it may have."""
        begun: Safe[Job] = Safe(_job(work), ())
        if work.page is not None and isinstance(work.page.book, FitBook):
            begun = settled(_job(work), work.page.book)
        if begun.value is None:
            return None, begun.decisions
        self._make_room(len(work.manifest.patients))
        half = site_half(begun.value, analysis, work.columns)
        kept = _Kept(half, len(work.manifest.patients))
        self._halves[work.place.run, work.place.step] = kept
        return half, begun.decisions

    def _make_room(self, patients: int) -> None:
        """Let go of the oldest halves; a run that goes on with one builds it anew."""
        while self._halves:
            held = patients + sum(kept.patients for kept in self._halves.values())
            if len(self._halves) < _KEPT_HALVES and held <= _KEPT_PATIENTS:
                return
            # a copy: another run may be stopped meanwhile
            self._halves.pop(next(iter(tuple(self._halves))), None)


def run_job(
    worker: WorkerProcess,
    job: Job | InitialiseJob | Handover,
    *,
    seconds: float,
    allowed: Callable[[], bool],
    progress: Callable[[int, int], None] | None = None,
) -> JobResult:
    """Run a job in the worker; see `fednb.site.worker_process.WorkerProcess.run`."""
    results: list[JobResult] = []

    def last(frame: bytes) -> bool:
        answer = _decoder.decode(frame)
        if isinstance(answer, JobResult):
            results.append(answer)
            return True
        if progress is not None:
            progress(answer.done, answer.total)
        return False

    worker.run(_encoder.encode(job), seconds=seconds, allowed=allowed, last=last)
    return results[0]


def initial_weights(
    worker: WorkerProcess,
    network: ModelSpec | Code,
    *,
    channels: int,
    covariates: int,
    seed: int,
    terms: Terms | None = None,
) -> NDArray[np.float32]:
    """Return seeded initial weights, flat float32; needs no data.

    Parameters
    ----------
    worker
        Where torch is.
    network
        The network; code runs in a confined process, not in `worker`.
    channels, covariates
        Numbers of its inputs.
    seed
        Of the weights.
    terms
        What such a process may have; None: every wall is required.

    Raises
    ------
    FednbError
        The network cannot be built.
    """
    job = InitialiseJob("initialise", network, channels, covariates, seed)
    if isinstance(network, Code):
        watch = Watch(INITIALISE_SECONDS, lambda: True)
        return initialise_confined(job, terms or Terms(), watch)
    result = run_job(worker, job, seconds=INITIALISE_SECONDS, allowed=lambda: True)
    if result.error:
        raise _failure(result)
    return np.asarray(unpack_all(result.vectors)["weights"], dtype=np.float32)


def _job(work: Work) -> Job:
    """Return the work in the form that tasks know."""
    return Job(
        id=work.call,
        site=work.site,
        plan=work.plan,
        round=work.round,
        rounds=work.rounds,
        manifest=work.manifest,
        table=work.table,
        images=work.images,
        work=work.folder,
        split=work.split,
        arrays=work.arrays,
        embedding=work.embedding,
        gpu_gib=work.gpu_gib,
        run=work.place.run,
        share=work.share,
        sites=work.sites,
        threshold=work.profile.threshold,
        columns=work.columns,
        secret=work.secret,
    )


def _safe_metrics(values: NDArray[np.generic], work: Work) -> NDArray[np.float64]:
    """Return figures of a round or an evaluation in a form that may be summed."""
    figures = np.asarray(values, dtype=np.float64)
    if isinstance(work.plan, TrainingPlan):
        return safe_training_metrics(figures, work.profile)
    survival = (
        isinstance(work.plan, EvaluationPlan)
        and work.plan.model.training.survival is not None
    )
    return safe_evaluation_metrics(figures, work.profile, survival=survival)


def _failure(result: JobResult) -> FednbError:
    """Return a worker's error as one of ours; its text stays private."""
    message = f"The task failed in the worker ({result.error})."
    error = FednbError(message, detail=result.detail)
    error.cause = result.cause
    return error

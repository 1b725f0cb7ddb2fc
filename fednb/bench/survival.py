"""`fednb bench science:survival`: deep Cox, federated beside central, seed by seed.

The network learns survival from the image; age joins in a Cox head on its score, fitted
on patients whom no network was trained on. Federated and central models see the same
patients and start from the same weights. Deep Cox is further held against the demo's
Cox head on an IDH encoder, age alone, and the true log-hazard.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from rich.console import Console

from fednb.bench.report import Report
from fednb.bench.seeds import Figure, figure_of, paired_figure
from fednb.phantom.demo import CENTRAL, DATASET, HOSPITALS, DemoSize, baselines, demo
from fednb.phantom.study import PENALIZER, PURPOSE, oracle, training_plan
from fednb.records.heads import CoxPlan
from fednb.records.outcomes import Survival
from fednb.records.studies import EMBEDDING, StudyPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fednb.embedded.federation import Federation
    from fednb.phantom.oracle import OracleCounts
    from fednb.records.specs import Plan
    from fednb.records.tasks import TrainingPlan
    from fednb.results.survival import CoxResult

T = TypeVar("T")

FIRST_SEED: Final = 411
"""The head was chosen on seed 301; 401 was seen before, at half as many rounds."""

SURVIVAL: Final = Survival("os_months", "death")
HEAD: Final = CoxPlan(
    EMBEDDING,
    "score",
    ("age",),
    duration="os_months",
    event="death",
    penalizer=PENALIZER,
)
IDH_HEAD: Final = msgspec.structs.replace(HEAD, features="embedding")
"""The demo's Cox head on its IDH encoder."""
AGE: Final = CoxPlan(
    covariates=("age",), duration="os_months", event="death", penalizer=PENALIZER
)


@dataclass(frozen=True)
class Settings:
    """How much is run.

    Attributes
    ----------
    seeds
        Seeds of the levels, from `first_seed`: deep Cox beside the Cox head on an IDH
        encoder, age alone, and the oracle; 0 leaves them out.
    size
        Of their hospitals; its seed is replaced.
    paired_seeds
        Seeds of the comparison with a central model, from `first_seed`; 0 leaves it
        out.
    paired_size
        Of its hospitals: the demo's.
    rounds
        Rounds of every network, and epochs of the central one: the demo's.
    threads
        Threads of the torch worker.
    first_seed
        Of patients, weights and order.
    """

    seeds: int = 3
    size: DemoSize = field(default_factory=lambda: DemoSize(400, 100, 400))
    paired_seeds: int = 0
    paired_size: DemoSize = field(default_factory=DemoSize)
    rounds: int = 30
    threads: int = 1
    first_seed: int = FIRST_SEED


_TINY: Final = DemoSize(12, 30, 24, voxels=8)
QUICK: Final = Settings(1, _TINY, 1, _TINY, rounds=1, first_seed=1)
FULL: Final = Settings(seeds=0, paired_seeds=10)


@dataclass(frozen=True)
class Level:
    """C over the test patients of one seed; `image` is without age."""

    federated: float
    image: float
    idh_head: float
    age: float
    best: OracleCounts


@dataclass(frozen=True)
class Pair:
    """C over the test patients of one seed; with ``image`` without age."""

    federated: float
    central: float
    federated_image: float
    central_image: float


def measure(settings: Settings) -> Report:
    """Run the levels, and the comparison of federated and central models.

    Ctrl-C ends a part after a seed or more; the report then is of those.
    """
    rows: list[Figure] = []
    notes: list[str] = []
    if settings.seeds:
        seeds = _seeds(settings, settings.size, settings.seeds)
        levels = until_stopped(lambda size: _level(settings, size), seeds)
        rows += level_figures(levels)
        notes.append(f"Levels: {_told(seeds, len(levels))}")
    if settings.paired_seeds:
        seeds = _seeds(settings, settings.paired_size, settings.paired_seeds)
        pairs = until_stopped(lambda size: _pair(settings, size), seeds)
        rows += paired_figures(pairs)
        notes.append(f"Federated - central: {_told(seeds, len(pairs))}")
    notes += (
        "C counts pairs within hospitals, over test patients.",
        "A target is a shortfall: how far the seeds miss what is asked.",
        "Central training is possible only because the patients are made up.",
    )
    return Report("science:survival", tuple(rows), tuple(notes))


def until_stopped(run: Callable[[DemoSize], T], sizes: Sequence[DemoSize]) -> list[T]:
    """Return what each seed brings, or those that are there when Ctrl-C comes.

    Parameters
    ----------
    run
        Runs one seed.
    sizes
        One a seed.

    Raises
    ------
    KeyboardInterrupt
        It came before the first seed was there.
    """
    found: list[T] = []
    try:
        found.extend(map(run, sizes))
    except KeyboardInterrupt:
        if not found:
            raise
    return found


def _seeds(settings: Settings, size: DemoSize, count: int) -> list[DemoSize]:
    first = settings.first_seed
    return [replace(size, seed=seed) for seed in range(first, first + count)]


def _told(sizes: Sequence[DemoSize], count: int) -> str:
    """Say over how many patients and seeds figures are."""
    size, last = sizes[0], sizes[count - 1].seed
    less = f", stopped before {sizes[-1].seed}" if count < len(sizes) else ""
    return (
        f"{size.train} training, {size.validation} validation and {size.test} test "
        f"patients a hospital, seeds {size.seed} to {last}{less}."
    )


def deep_plan(settings: Settings, size: DemoSize) -> TrainingPlan:
    """Return the demo's plan, with survival in the place of the mutation."""
    plain = _training(settings.rounds, settings.threads, size)
    return msgspec.structs.replace(plain, target=SURVIVAL)


def _training(rounds: int, threads: int, size: DemoSize) -> TrainingPlan:
    """Return the demo's plan, without curves that nobody looks at."""
    plan = training_plan(rounds=rounds, seed=size.seed, threads=threads)
    voxels = (size.voxels,) * 3
    return msgspec.structs.replace(plan, size=voxels, validate_every=0)


def _level(settings: Settings, size: DemoSize) -> Level:
    deep = deep_plan(settings, size)
    idh = _training(settings.rounds, settings.threads, size)
    with tempfile.TemporaryDirectory(prefix="fednb-survival-") as name:
        root = Path(name)
        with demo(root, size=size, approve="auto") as fed:
            image, head = _federated(fed, deep)
            beside = _run(fed, StudyPlan.with_heads(idh, IDH_HEAD, AGE))
        found = Level(head, image, _c(beside[3]), _c(beside[4]), oracle(root))
    _tell(
        f"seed {size.seed}: C {head:.4f} (image alone {image:.4f}, head on the IDH "
        f"encoder {found.idh_head:.4f}, age {found.age:.4f}, oracle {found.best.c:.4f})"
    )
    return found


def _pair(settings: Settings, size: DemoSize) -> Pair:
    deep = deep_plan(settings, size)
    with tempfile.TemporaryDirectory(prefix="fednb-survival-") as name:
        root = Path(name)
        with demo(root, size=size, approve="auto") as fed:
            image, head = _federated(fed, deep)
        with baselines(root, size) as fed:
            central_image, central = _central(fed, deep)
    _tell(
        f"seed {size.seed}: C {head:.4f}, central {central:.4f}, image alone "
        f"{image:.4f}, central {central_image:.4f}"
    )
    return Pair(head, central, image, central_image)


def _federated(fed: Federation, deep: TrainingPlan) -> tuple[float, float]:
    """Return C of the model that the hospitals train, and of the head on it."""
    _, evaluation, _, head = _run(fed, StudyPlan.with_heads(deep, HEAD))
    return evaluation.c_index, _c(head)


def _central(fed: Federation, deep: TrainingPlan) -> tuple[float, float]:
    """Return C of the model trained on the union, and of the head at the hospitals."""
    sites = tuple(HOSPITALS)
    (trained,) = _run(fed, deep, (CENTRAL,))
    (evaluation,) = _run(fed, EvaluationPlan(trained.model), sites)
    (embedding,) = _run(fed, EmbeddingPlan(trained.model), sites)
    plan = msgspec.structs.replace(HEAD, embedding=embedding.ref, split=deep.split)
    (head,) = _run(fed, plan, sites)
    return evaluation.c_index, _c(head)


def _run(fed: Federation, plan: Plan, sites: tuple[str, ...] = ()) -> tuple[Any, ...]:
    chosen = sites or tuple(HOSPITALS)
    request = fed.request(plan, dataset=DATASET, purpose=PURPOSE, sites=chosen)
    return request.start().results()


def _c(head: CoxResult) -> float:
    return head.pairs.index if head.pairs is not None else math.nan


def _tell(line: str) -> None:
    """Say what a seed brought as soon as it is there: the whole takes long."""
    Console(stderr=True).print(line, soft_wrap=True)


def level_figures(found: Sequence[Level]) -> list[Figure]:
    """Return deep Cox and what it is held against, a row a figure.

    Parameters
    ----------
    found
        At least one seed.
    """
    above = [s.best.bounds()[1] - s.federated for s in found]
    return [
        figure_of("C of image and age, deep Cox", [s.federated for s in found]),
        figure_of("C of the image, deep Cox", [s.image for s in found]),
        figure_of(
            "C, Cox head on the IDH encoder and age", [s.idh_head for s in found]
        ),
        figure_of("C, age alone", [s.age for s in found]),
        figure_of("C, oracle", [s.best.c for s in found]),
        figure_of(
            "deep Cox - head on the IDH encoder",
            [s.federated - s.idh_head for s in found],
            -0.01,
        ),
        figure_of("deep Cox - oracle", [s.federated - s.best.c for s in found], -0.06),
        figure_of("oracle + 2 SD - deep Cox", above, 0.0),
    ]


def paired_figures(found: Sequence[Pair]) -> list[Figure]:
    """Return federated, central, and their paired differences, a row a figure.

    Parameters
    ----------
    found
        At least one seed; one alone has no confidence interval, and no target.
    """
    both = [s.federated - s.central for s in found]
    image = [s.federated_image - s.central_image for s in found]
    return [
        figure_of("C of image and age, federated", [s.federated for s in found]),
        figure_of("C of image and age, central", [s.central for s in found]),
        figure_of("C of the image, federated", [s.federated_image for s in found]),
        figure_of("C of the image, central", [s.central_image for s in found]),
        paired_figure("image and age, federated - central", both),
        paired_figure("image, federated - central", image),
    ]

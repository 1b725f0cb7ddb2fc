"""`fednb bench science:survival`: deep Cox, federated beside central, seed by seed.

The network learns survival from the image; age joins in a Cox head on its score, fitted
on patients whom no network was trained on. Federated and central models see the same
patients and start from the same weights. Beside them, on the first seeds, stand the
demo's Cox head on an IDH encoder, age alone, and the true log-hazard.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console

from fednb.bench.report import Report, Target
from fednb.bench.science import Figure, interval
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

FIRST_SEED: Final = 401
"""The plan was chosen on seeds 301 to 303."""

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
        Seeds of the comparison with a central model, from `first_seed`.
    level_seeds
        How many of them, from the first, also bring what deep Cox is held against: the
        Cox head on an IDH encoder, and age alone.
    size
        Of the hospitals; its seed is replaced.
    rounds
        Rounds of deep Cox, and epochs of the central model.
    idh_rounds
        Rounds of the IDH encoder: the demo's.
    threads
        Threads of the torch worker.
    first_seed
        Of patients, weights and order.
    """

    seeds: int = 3
    level_seeds: int = 3
    size: DemoSize = field(default_factory=lambda: DemoSize(400, 100, 400))
    rounds: int = 15
    idh_rounds: int = 30
    threads: int = 1
    first_seed: int = FIRST_SEED


QUICK: Final = Settings(
    1, 1, DemoSize(20, 40, 30, voxels=16), rounds=1, idh_rounds=1, first_seed=1
)
FULL: Final = Settings(seeds=10)


@dataclass(frozen=True)
class Levels:
    """C of what deep Cox is held against, over one seed's test patients."""

    idh_head: float
    age: float


@dataclass(frozen=True)
class Seed:
    """C over the test patients of one seed; with ``image`` without age."""

    federated: float
    central: float
    federated_image: float
    central_image: float
    best: OracleCounts
    levels: Levels | None = None

    @property
    def difference(self) -> float:
        """Federated less central, image and age."""
        return self.federated - self.central

    @property
    def image_difference(self) -> float:
        """Federated less central, image alone."""
        return self.federated_image - self.central_image


def measure(settings: Settings) -> Report:
    """Run federated, central and IDH-encoder models over the seeds."""
    found: list[Seed] = []
    for number in range(settings.seeds):
        seed = settings.first_seed + number
        found.append(_one(settings, seed, levels=number < settings.level_seeds))
        _tell(seed, found[-1])
    size = settings.size
    notes = (
        f"{size.train} training, {size.validation} validation and {size.test} test "
        f"patients a hospital; {len(found)} seeds from {settings.first_seed}.",
        "C counts pairs within hospitals, over test patients.",
        "A target is a shortfall: how far the seeds miss what is asked.",
        "Central training is possible only because the patients are made up.",
    )
    return Report("science:survival", tuple(figures(found)), notes)


def deep_plan(settings: Settings, seed: int) -> TrainingPlan:
    """Return the plan of federated and central models: the demo's, on survival."""
    plain = _training(settings, settings.rounds, seed)
    return msgspec.structs.replace(plain, target=SURVIVAL)


def _training(settings: Settings, rounds: int, seed: int) -> TrainingPlan:
    """Return the demo's plan, without curves that nobody looks at."""
    plan = training_plan(rounds=rounds, seed=seed, threads=settings.threads)
    size = (settings.size.voxels,) * 3
    return msgspec.structs.replace(plan, size=size, validate_every=0)


def _one(settings: Settings, seed: int, *, levels: bool) -> Seed:
    size = replace(settings.size, seed=seed)
    deep = deep_plan(settings, seed)
    idh = _training(settings, settings.idh_rounds, seed)
    with tempfile.TemporaryDirectory(prefix="fednb-survival-") as name:
        root = Path(name)
        with demo(root, size=size, approve="auto") as fed:
            _, image, _, head = _run(fed, StudyPlan.with_heads(deep, HEAD))
            beside = _levels(fed, idh) if levels else None
        with baselines(root, size) as fed:
            central_image, central = _central(fed, deep)
        return Seed(
            federated=_c(head),
            central=_c(central),
            federated_image=image.c_index,
            central_image=central_image,
            best=oracle(root),
            levels=beside,
        )


def _levels(fed: Federation, plain: TrainingPlan) -> Levels:
    """Run the demo's Cox head on an IDH encoder, and age alone."""
    results = _run(fed, StudyPlan.with_heads(plain, IDH_HEAD, AGE))
    return Levels(_c(results[3]), _c(results[4]))


def _central(fed: Federation, deep: TrainingPlan) -> tuple[float, CoxResult]:
    """Return C of the model trained on the union, and the head at the hospitals."""
    sites = tuple(HOSPITALS)
    (trained,) = _run(fed, deep, (CENTRAL,))
    (evaluation,) = _run(fed, EvaluationPlan(trained.model), sites)
    (embedding,) = _run(fed, EmbeddingPlan(trained.model), sites)
    plan = msgspec.structs.replace(HEAD, embedding=embedding.ref, split=deep.split)
    (head,) = _run(fed, plan, sites)
    return evaluation.c_index, head


def _run(fed: Federation, plan: Plan, sites: tuple[str, ...] = ()) -> tuple[Any, ...]:
    chosen = sites or tuple(HOSPITALS)
    request = fed.request(plan, dataset=DATASET, purpose=PURPOSE, sites=chosen)
    return request.start().results()


def _c(head: CoxResult) -> float:
    return head.pairs.index if head.pairs is not None else math.nan


def _tell(seed: int, found: Seed) -> None:
    """Say what a seed brought as soon as it is there: the whole takes long."""
    beside = ""
    if found.levels is not None:
        beside = f"head on the IDH encoder {found.levels.idh_head:.4f}, "
        beside += f"age {found.levels.age:.4f}, "
    line = (
        f"seed {seed}: C {found.federated:.4f} (central {found.central:.4f}, {beside}"
        f"oracle {found.best.c:.4f}), image alone {found.federated_image:.4f} "
        f"(central {found.central_image:.4f})"
    )
    Console(stderr=True).print(line, soft_wrap=True)


def figures(found: Sequence[Seed]) -> list[Figure]:
    """Return a row a figure, with a target where one is asked for.

    Parameters
    ----------
    found
        At least one seed. Without two there is no confidence interval; without one
        that has levels, nothing to hold them against.
    """
    levelled = [(seed, seed.levels) for seed in found if seed.levels is not None]
    rows = [
        _row("C of image and age, federated", [s.federated for s in found]),
        _row("C of image and age, central", [s.central for s in found]),
        _row("C of the image, federated", [s.federated_image for s in found]),
        _row("C of the image, central", [s.central_image for s in found]),
        _row("C, oracle", [s.best.c for s in found]),
        _row("federated - oracle", [s.federated - s.best.c for s in found], -0.06),
        _row(
            "oracle + 2 SD - federated",
            [s.best.bounds()[1] - s.federated for s in found],
            0.0,
        ),
    ]
    if levelled:
        heads = [levels.idh_head for _, levels in levelled]
        less = [seed.federated - levels.idh_head for seed, levels in levelled]
        rows += [
            _row("C, Cox head on the IDH encoder and age", heads),
            _row("C, age alone", [levels.age for _, levels in levelled]),
            _row("federated - head on the IDH encoder", less, -0.01),
        ]
    if len(found) > 1:
        rows += [
            _paired("federated - central", found, lambda s: s.difference),
            _paired("the same, image alone", found, lambda s: s.image_difference),
        ]
    return rows


def _row(name: str, values: Sequence[float], least: float | None = None) -> Figure:
    mean = statistics.fmean(values)
    target = None
    if least is not None:
        target = Target(name, max(least - mean, 0.0), 0.0, "short")
    return Figure(name, mean, _each(values), target)


def _paired(name: str, found: Sequence[Seed], value: Callable[[Seed], float]) -> Figure:
    differences = [value(seed) for seed in found]
    low, high = interval(differences)
    each = f"{_each(differences)}; 95 % CI {low:.4f} to {high:.4f}"
    target = Target(name, max(-0.02 - low, 0.0), 0.0, "short of -.02")
    return Figure(name, statistics.fmean(differences), each, target)


def _each(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)

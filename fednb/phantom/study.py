"""The main job on the demo hospitals, and the baselines it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fednb.errors import FednbError
from fednb.phantom.demo import CENTRAL, DATASET, HOSPITALS, SPLIT_COLUMN, truths
from fednb.phantom.hospital import read_truth
from fednb.phantom.oracle import OracleCounts, oracle_counts
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import ModelSpec, SplitSpec, StrategySpec, TransformSpec
from fednb.records.studies import EMBEDDING, StudyPlan
from fednb.records.tasks import EmbeddingPlan, EvaluationPlan, TrainingPlan

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.coordinator.handles import Request
    from fednb.embedded.federation import Federation
    from fednb.records.specs import Plan
    from fednb.results.embedding import EmbeddingResult
    from fednb.results.evaluation import EvaluationResult
    from fednb.results.survival import CoxResult, LogisticResult
    from fednb.results.training import TrainingResult

PURPOSE: Final = "IDH mutation and overall survival of glioma from MRI"
SPLIT: Final = SplitSpec(column=SPLIT_COLUMN)
NETWORK: Final = ModelSpec("small-cnn-3d")
TRANSFORMS: Final = (
    TransformSpec("ZScoreInMask"),
    TransformSpec("RandFlip", {"spatial_axis": 0, "prob": 0.5}),
)
PENALIZER: Final = 0.05
TRAIN, EVALUATE, EMBED, LOGISTIC, COX, AGE_ONLY = range(6)


@dataclass(frozen=True)
class StudyResults:
    """Results of the six steps of the study."""

    training: TrainingResult
    evaluation: EvaluationResult
    embedding: EmbeddingResult
    logistic: LogisticResult
    cox: CoxResult
    age_only: LogisticResult

    @property
    def image_auc(self) -> float:
        """AUC of the image alone."""
        return self.evaluation.splits[0].auc

    @property
    def both_auc(self) -> float:
        """AUC of image and age."""
        return _index(self.logistic)

    @property
    def age_auc(self) -> float:
        """AUC of age alone."""
        return _index(self.age_only)

    @property
    def c_index(self) -> float:
        """C of the Cox head."""
        return _index(self.cox)


@dataclass(frozen=True)
class Baselines:
    """What the federated model is held against.

    Attributes
    ----------
    local
        Image AUC of each hospital's own model, over the test patients of all.
    central
        Results of the model trained on all patients in one place.
    """

    local: dict[str, float]
    central: StudyResults

    @property
    def local_mean(self) -> float:
        """Mean image AUC of the local-only models."""
        return sum(self.local.values()) / len(self.local)


def training_plan(
    *,
    rounds: int = 30,
    seed: int = 0,
    strategy: str | StrategySpec = "fedavg",
    threads: int = 1,
) -> TrainingPlan:
    """Return the demo's training plan: a small CNN for IDH mutation."""
    return TrainingPlan(
        model=NETWORK,
        target="idh",
        strategy=StrategySpec(strategy) if isinstance(strategy, str) else strategy,
        rounds=rounds,
        transforms=TRANSFORMS,
        split=SPLIT,
        seed=seed,
        threads=threads,
        validate_every=2,
    )


def study_plan(training: TrainingPlan) -> StudyPlan:
    """Return the chain train, evaluate, embed, logistic and Cox heads, age alone."""
    return StudyPlan.with_heads(
        training,
        LogisticPlan(EMBEDDING, "score", ("age",), target="idh"),
        CoxPlan(
            EMBEDDING,
            covariates=("age",),
            duration="os_months",
            event="death",
            penalizer=PENALIZER,
        ),
        LogisticPlan(covariates=("age",), target="idh"),
    )


def read_study(results: tuple[Any, ...]) -> StudyResults:
    """Return the results of a study's run by name."""
    return StudyResults(
        training=results[TRAIN],
        evaluation=results[EVALUATE],
        embedding=results[EMBED],
        logistic=results[LOGISTIC],
        cox=results[COX],
        age_only=results[AGE_ONLY],
    )


def approve_all(fed: Federation, request: Request) -> None:
    """Play the site owners: each approves the request."""
    for site in request.contract.sites():
        owner = fed.owner(site)
        filed = owner.requests[request.hash]
        if filed.status == "pending":
            filed.approve(note="demo")
        owner.close()


def run_baselines(fed: Federation, training: TrainingPlan) -> Baselines:
    """Train local-only and central models, and evaluate them like the federated one.

    Parameters
    ----------
    fed
        Of `fednb.phantom.demo.baselines`.
    training
        The federated plan; the baselines see as many patients as often.
    """
    sites = tuple(HOSPITALS)
    local = {}
    for site in sites:
        model = _run(fed, _unwatched(training), (site,)).model
        local[site] = _run(fed, EvaluationPlan(model), sites).splits[0].auc
    return Baselines(local, run_central(fed, training))


def run_central(fed: Federation, training: TrainingPlan) -> StudyResults:
    """Train on the union of all patients, and evaluate at the hospitals.

    Parameters
    ----------
    fed, training
        As for `run_baselines`.
    """
    sites = tuple(HOSPITALS)
    trained = _run(fed, _unwatched(training), (CENTRAL,))
    model = trained.model
    evaluation = _run(fed, EvaluationPlan(model), sites)
    embedding = _run(fed, EmbeddingPlan(model), sites)
    study = study_plan(training).steps
    heads = []
    for step in (LOGISTIC, COX, AGE_ONLY):
        plan = study[step]
        if step != AGE_ONLY:
            plan = msgspec.structs.replace(plan, embedding=embedding.ref)
        heads.append(_run(fed, plan, sites))
    return StudyResults(trained, evaluation, embedding, *heads)


def _unwatched(training: TrainingPlan) -> TrainingPlan:
    """Return a plan that trains the same, without curves that nobody looks at."""
    return msgspec.structs.replace(training, validate_every=0)


def oracle(root: Path) -> OracleCounts:
    """Return the true log-hazard's pair counts over the test patients of all sites."""
    concordant, comparable, patients = 0.0, 0, 0
    for name, path in truths(root).items():
        truth = read_truth(path)
        table = read_truth(path.parent.parent / "data" / "clinical.csv")
        found = oracle_counts(truth[table[SPLIT_COLUMN].eq("test").to_numpy()])
        if len(table) != len(truth):
            message = f"The truth of {name} does not fit its table."
            raise FednbError(message)
        concordant += found.concordant
        comparable += found.comparable
        patients += found.patients
    return OracleCounts(concordant, comparable, patients)


def _run(fed: Federation, plan: Plan, sites: tuple[str, ...]) -> Any:  # noqa: ANN401
    request = fed.request(
        plan, dataset=DATASET, purpose="baseline on synthetic data", sites=sites
    )
    return request.start().result()


def _index(result: LogisticResult | CoxResult) -> float:
    if result.pairs is None:
        message = "The head was not evaluated."
        raise FednbError(message)
    return result.pairs.index

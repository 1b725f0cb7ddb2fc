"""One result of each kind, every string of which comes from outside."""

from __future__ import annotations

import numpy as np

from fednb.records.service import ReleaseLine
from fednb.records.specs import EmbeddingRef, SplitSpec
from fednb.records.tasks import ModelRef, TrainingPlan
from fednb.results.comparison import ComparisonRow, ComparisonTable
from fednb.results.curves import SurvivalResult
from fednb.results.description import DescriptionResult, PatientCount
from fednb.results.embedding import EmbeddingResult
from fednb.results.evaluation import EvaluationResult, SplitScore
from fednb.results.statistics import ColumnSummary, StatisticsResult
from fednb.results.survival import CoxResult, LogisticResult
from fednb.results.training import RoundRecord, TrainedModel, TrainingResult
from fednb.survival.concordance import PairCounts
from fednb.survival.coxph import CoxEstimate
from fednb.survival.curves import CurveTables
from fednb.survival.logistic import LogisticEstimate


def lines(word: str) -> tuple[ReleaseLine, ...]:
    return (
        ReleaseLine(word, 0, 0, word, word, 4000),
        ReleaseLine("b", 0, 1, word, "k", 1),
    )


def statistics(word: str = "age", **changes: object) -> StatisticsResult:
    number = ColumnSummary(
        name=word,
        kind="number",
        unit=word,
        group=word,
        n=200,
        mean=52.5,
        std=11.25,
        quantiles={0.25: 44.0, 0.5: 52.0},
        edges=(20.0, 40.0, 60.0, 80.0),
        counts=(40, 100, 60),
        sites=3,
    )
    labels = ColumnSummary(
        name="grade",
        kind="category",
        group=word,
        n=200,
        levels={word: 150, "rare": 0, "4": 50},
        sites=3,
    )
    fields = {
        "dataset": word,
        "columns": (number, labels),
        "sites": (word, "b"),
        "by": word,
        "releases": lines(word),
    }
    return StatisticsResult(**{**fields, **changes})


def model_ref(word: str = "tiny3d") -> ModelRef:
    return ModelRef(word, TrainingPlan(model=word, target=word))


def training(word: str = "run", rounds: int = 3) -> TrainingResult:
    return TrainingResult(
        run=word,
        contract=word,
        ref=model_ref(word),
        parameters=33210,
        strategy=word,
        sites=(word, "b"),
        rounds=tuple(
            RoundRecord(i, 1 / i, 1.1 / i, 1 - 0.5 / i, 2.0, 1000)
            for i in range(1, rounds + 1)
        ),
        releases=lines(word),
    )


def evaluation(word: str = "test") -> EvaluationResult:
    return EvaluationResult(
        splits=(SplitScore(word, 0.9, 0.02, 0.4, 0.12, 300), SplitScore("train", 0.95)),
        target=word,
        sites=(word, "b"),
        releases=lines(word),
    )


def embedding(word: str = "contract") -> EmbeddingResult:
    return EmbeddingResult(
        ref=EmbeddingRef(word, 1, 8, SplitSpec()),
        sites=(word, "b"),
        n=300,
        releases=lines(word),
    )


def cox(word: str = "age", **changes: object) -> CoxResult:
    estimate = CoxEstimate(
        names=(word, "e0"),
        coefficients=np.array([0.5, -0.25]),
        covariance=np.array([[0.04, 0.01], [0.01, 0.09]]),
        center=np.array([50.0, 0.0]),
        log_likelihood=-100.0,
        log_likelihood_penalised=-101.0,
        log_likelihood_null=-110.0,
        n=300,
        events=150,
        evaluations=6,
    )
    fields = {
        "estimate": estimate,
        "duration": word,
        "event": word,
        "penalizer": 0.1,
        "sites": (word, "b"),
        "pairs": PairCounts(700, 20, 1000),
        "evaluated_on": word,
        "precision_shift": 0.006,
        "releases": lines(word),
    }
    return CoxResult(**{**fields, **changes})


def logistic(word: str = "age") -> LogisticResult:
    estimate = LogisticEstimate(
        names=("intercept", word),
        coefficients=np.array([-1.0, 0.5]),
        covariance=np.diag([0.04, 0.01]),
        log_likelihood=-100.0,
        n=300,
        evaluations=6,
    )
    return LogisticResult(
        estimate=estimate,
        target=word,
        sites=(word, "b"),
        pairs=PairCounts(893, 0, 1000),
        positives=51,
        negatives=58,
        evaluated_on=word,
        releases=lines(word),
    )


def comparison(word: str = "federated") -> ComparisonTable:
    return ComparisonTable(
        word,
        (word, "Brier"),
        (
            ComparisonRow(word, (0.9, 0.10), (0.02, 0.01), word),
            ComparisonRow("age only", (0.8, 0.15), (0.03, 0.01)),
            ComparisonRow("central", (0.95, 0.05), ranked=False),
        ),
        lower_is_better=("Brier",),
    )


def survival(word: str = "months", **changes: object) -> SurvivalResult:
    tables = CurveTables.blank(2, 2, 4)
    tables.patients[:], tables.sites[:], tables.shown[:] = [80, 0], [3, 0], [[3, 0]] * 2
    tables.at_risk[0] = [80, 60, 40, 20]
    tables.exposed[:, 0] = tables.at_risk[0]
    tables.deaths[:, 0] = [[10, 10, 10, 10], [5, 5, 5, 0]]
    fields = {
        "tables": tables,
        "ends": (6.0, 12.0, 18.0, 24.0),
        "labels": (word, "rare"),
        "duration": word,
        "event": word,
        "by": word,
        "competing": f"{word} of others",
        "sites": (word, "b"),
        "releases": lines(word),
    }
    return SurvivalResult(**{**fields, **changes})


def description(word: str = "age", **changes: object) -> DescriptionResult:
    counts = (
        PatientCount("patients", "", 200, 1.0, 3),
        PatientCount("column", word, 150, 0.75, 2),
        PatientCount("modality", word, 200, 1.0, 3),
        PatientCount("modality", "rare", 0, np.nan, 0),
    )
    fields = {
        "dataset": word,
        "counts": counts,
        "sites": (word, "b"),
        "releases": lines(word),
    }
    return DescriptionResult(**{**fields, **changes})


KINDS = {
    "description": description,
    "statistics": statistics,
    "training": training,
    "model": lambda word: TrainedModel(model_ref(word), 10),
    "evaluation": evaluation,
    "embedding": embedding,
    "cox": cox,
    "logistic": logistic,
    "comparison": comparison,
    "survival": survival,
}

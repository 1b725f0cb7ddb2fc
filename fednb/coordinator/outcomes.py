"""From what a run brought to results that show themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fednb.errors import RunError
from fednb.models.registry import embedding_width
from fednb.privacy.metrics import EvaluationSums
from fednb.privacy.profiles import PROFILES
from fednb.privacy.summaries import summarise
from fednb.privacy.tables import DescribeLayout, StatisticsLayout
from fednb.records.arrays import unpack
from fednb.records.assessment import AssessmentPlan
from fednb.records.curves import SurvivalPlan
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import EmbeddingRef
from fednb.records.tasks import (
    AnyPlan,
    DescribePlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    StatisticsPlan,
    TrainingPlan,
)
from fednb.results.assessment import EvaluationReport, report_of
from fednb.results.curves import SurvivalResult
from fednb.results.description import DescriptionResult, patient_counts
from fednb.results.embedding import EmbeddingResult
from fednb.results.evaluation import EvaluationResult, SplitScore, hanley_mcneil
from fednb.results.fitted import cox_result, logistic_result
from fednb.results.statistics import ColumnSummary, StatisticsResult
from fednb.results.training import TrainingResult, rounds_of
from fednb.survival.assessing import with_fit
from fednb.survival.curves import CurveDesign, CurveStage
from fednb.survival.protocol import HeadDesign, HeadState
from fednb.survival.registry import analysis_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fednb.records.contracts import Contract
    from fednb.records.heads import HeadPlan
    from fednb.records.service import Outcome, StepOutcome
    from fednb.records.specs import SummedPlan
    from fednb.results.parts import Origin
    from fednb.results.survival import CoxResult, LogisticResult
    from fednb.survival.registry import Analysis, Stage

    Floats = NDArray[np.float64]
    Loader = Callable[[str], NDArray[np.float32]]


@dataclass(frozen=True)
class Reading:
    """A finished run and its contract, to be read as results.

    Attributes
    ----------
    outcome, contract
        What the run brought, and under what contract.
    load
        Returns weights by their hash.
    dry_run
        Whether it ran on mock data.
    """

    outcome: Outcome
    contract: Contract
    load: Loader
    dry_run: bool = False

    def results(self) -> tuple[Any, ...]:
        """Return one result a step."""
        return tuple(
            self.result(plan, outcome)
            for plan, outcome in zip(
                self.contract.steps, self.outcome.steps, strict=True
            )
        )

    def result(self, plan: AnyPlan, step: StepOutcome) -> Any:  # noqa: ANN401
        """Return the result of a step, or of a query under a standing contract."""
        readers: dict[type, Callable[[Any, StepOutcome], Any]] = {
            DescribePlan: self._description,
            StatisticsPlan: self._statistics,
            TrainingPlan: self._training,
            EvaluationPlan: self._evaluation,
            EmbeddingPlan: self._embedding,
            AssessmentPlan: self._assessment,
            CoxPlan: self._cox,
            LogisticPlan: self._logistic,
            SurvivalPlan: self._survival,
        }
        reader = readers.get(type(plan))
        if reader is None:
            message = f"There is no result of a {type(plan).__name__}."
            raise RunError(message)
        return reader(plan, step)

    def _description(self, plan: DescribePlan, step: StepOutcome) -> DescriptionResult:
        found = patient_counts(
            DescribeLayout.from_plan(plan),
            _total(step),
            sites=len(self.contract.participants),
            profile=PROFILES[self.contract.privacy.profile],
        )
        return DescriptionResult(
            dataset=self.contract.dataset, counts=found, **self._origin(step)
        )

    def _statistics(self, plan: StatisticsPlan, step: StepOutcome) -> StatisticsResult:
        layout = StatisticsLayout.from_plan(plan, self.contract.columns)
        profile = PROFILES[self.contract.privacy.profile]
        found = summarise(
            layout, _total(step), sites=len(self.contract.participants), profile=profile
        )
        return StatisticsResult(
            dataset=self.contract.dataset,
            columns=tuple(ColumnSummary.of(s) for s in found),
            by=plan.by,
            **self._origin(step),
        )

    def _training(self, plan: TrainingPlan, step: StepOutcome) -> TrainingResult:
        rounds = rounds_of(step.rounds, plan.calls)
        return TrainingResult(
            run=self.outcome.run,
            contract=self.outcome.contract,
            ref=ModelRef(step.weights, plan),
            parameters=self.contract.parameters[str(step.step)],
            strategy=plan.strategy.name,
            sites=self.contract.sites(),
            rounds=rounds,
            releases=step.releases,
            loader=lambda: {"weights": self.load(step.weights)},
            dry_run=self.dry_run,
        )

    def _evaluation(self, plan: EvaluationPlan, step: StepOutcome) -> EvaluationResult:
        sums = EvaluationSums(*_total(step).tolist())
        n, positives = round(sums.n), round(sums.positives)
        error = sums.share_error
        score = SplitScore(plan.split, c_index=sums.share, c_index_se=error, n=n)
        if plan.model.training.survival is None:
            if np.isnan(error) and sums.pairs:
                # a run from before sites told the spread
                error = hanley_mcneil(sums.share, positives, n - positives)
            score = SplitScore(
                split=plan.split,
                auc=sums.share,
                auc_se=error,
                log_loss=sums.log_loss / sums.n if sums.n else np.nan,
                brier=sums.brier / sums.n if sums.n else np.nan,
                n=n,
            )
        return EvaluationResult(
            splits=(score,),
            target=str(plan.model.training.target),
            **self._origin(step),
        )

    def _embedding(self, plan: EmbeddingPlan, step: StepOutcome) -> EmbeddingResult:
        training = plan.model.training
        ref = EmbeddingRef(
            self.outcome.contract,
            step.step,
            embedding_width(training.network),
            training.split,
        )
        n = round(float(_total(step)[0]))
        return EmbeddingResult(
            ref=ref, n=n, survival=training.survival, **self._origin(step)
        )

    def _head(self, plan: HeadPlan, step: StepOutcome) -> tuple[HeadDesign, HeadState]:
        analysis, stage = self.stage(plan, step)
        if not isinstance(analysis, HeadDesign) or not isinstance(stage, HeadState):
            message = f"A {type(plan).__name__} is not a head."
            raise RunError(message)
        return analysis, stage

    def stage(self, plan: SummedPlan, step: StepOutcome) -> tuple[Analysis, Stage]:
        """Return what a summed step's contract fixes, and where its totals led."""
        analysis = analysis_of(plan, self.contract)
        return analysis, analysis.replay(_totals(step))

    def _assessment(self, plan: AssessmentPlan, step: StepOutcome) -> EvaluationReport:
        if plan.model.step is not None:
            fit = self.outcome.steps[plan.model.step]
            plan = with_fit(plan, self.contract, _totals(fit))
        design, state = self.stage(plan, step)
        found = report_of(plan, design, state)
        return replace(found, shares=self.contract.weights, **self._origin(step))

    def _survival(self, plan: SurvivalPlan, step: StepOutcome) -> SurvivalResult:
        design, stage = self.stage(plan, step)
        tables = stage.tables if isinstance(stage, CurveStage) else None
        if tables is None or not isinstance(design, CurveDesign):
            message = "The curves have not been counted."
            raise RunError(message)
        return SurvivalResult(
            tables=tables,
            ends=design.ends,
            labels=design.labels,
            duration=plan.duration,
            event=plan.event,
            by=plan.by,
            competing=plan.competing,
            **self._origin(step),
        )

    def _cox(self, plan: CoxPlan, step: StepOutcome) -> CoxResult:
        design, state = self._head(plan, step)
        return cox_result(plan, design, state, self._origin(step))

    def _logistic(self, plan: LogisticPlan, step: StepOutcome) -> LogisticResult:
        design, state = self._head(plan, step)
        return logistic_result(plan, design, state, self._origin(step))

    def _origin(self, step: StepOutcome) -> Origin:
        return {
            "sites": self.contract.sites(),
            "profile": self.contract.privacy.profile,
            "releases": step.releases,
        }


def _totals(step: StepOutcome) -> list[Floats]:
    return [np.asarray(unpack(t), dtype=np.float64) for t in step.totals]


def _total(step: StepOutcome) -> Floats:
    return np.asarray(unpack(step.totals[0]), dtype=np.float64)

"""Studies: chains of plans that owners approve once."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from fednb.errors import PlanError
from fednb.records.assessment import AssessmentPlan, FixedModel
from fednb.records.heads import CoxPlan, LogisticPlan
from fednb.records.specs import EmbeddingRef, Plan, SplitSpec
from fednb.records.tasks import (
    AnyPlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    TrainingPlan,
)

STUDY: Final = "study"
"""Stands for the contract of the study itself in an `EmbeddingRef`."""

EMBEDDING: Final = EmbeddingRef(STUDY, 2, 0, SplitSpec())
"""The embedding that a study of `StudyPlan.with_heads` makes."""


class StudyPlan(Plan, frozen=True):
    """A chain of plans approved once: train, evaluate, embed, then heads.

    Later steps name the artefact of an earlier one: a `ModelRef` ``"step:N"`` means
    the weights that step N trains, an `EmbeddingRef` of contract `STUDY` what step N
    embeds. A request settles them; sites pin the artefacts as the run goes on.

    Examples
    --------
    >>> training = fednb.TrainingPlan("small-cnn-3d", target="idh")
    >>> head = fednb.CoxPlan(
    ...     fednb.EMBEDDING, covariates="age", duration="os_months", event="death"
    ... )
    >>> [
    ...     type(step).__name__
    ...     for step in fednb.StudyPlan.with_heads(training, head).steps
    ... ]
    ['TrainingPlan', 'EvaluationPlan', 'EmbeddingPlan', 'CoxPlan']
    """

    steps: tuple[AnyPlan, ...]

    @classmethod
    def with_heads(
        cls,
        training: TrainingPlan,
        *heads: CoxPlan | LogisticPlan,
        assess: bool = False,
    ) -> StudyPlan:
        """Return the usual study: train, evaluate on test patients, embed, fit heads.

        Parameters
        ----------
        training
            What to train.
        *heads
            Fits on `EMBEDDING`, or on covariates alone; all use the training's split,
            and those on covariates alone the same patients as the others, so that they
            can be compared: fitted on validation patients, evaluated on test patients,
            unless they name a part themselves.
        assess
            Whether each fit is assessed on the test patients, in steps of their own
            after all fits.

        Raises
        ------
        PlanError
            No head is given.
        """
        if not heads:
            message = "A study with heads needs at least one; request the plan alone."
            raise PlanError(message)
        model = cls.model_of(0, training)
        split = training.split
        fits = tuple(
            msgspec.structs.replace(head, split=split, **_beside_others(head))
            for head in heads
        )
        first = (training, EvaluationPlan(model), EmbeddingPlan(model))
        numbered = enumerate(fits, len(first)) if assess else ()
        assessed = (cls.assessment_of(step, head) for step, head in numbered)
        return cls((*first, *fits, *assessed))

    @staticmethod
    def model_of(step: int, training: TrainingPlan) -> ModelRef:
        """Refer to the weights that step number `step` of this study will train."""
        return ModelRef(f"step:{step}", training)

    @staticmethod
    def assessment_of(
        step: int,
        head: CoxPlan | LogisticPlan,
        **settings: Any,  # noqa: ANN401
    ) -> AssessmentPlan:
        """Assess what step number `step` of this study, a fit of `head`, will find.

        Parameters
        ----------
        step
            Of the fit, before the assessment.
        head
            What is fitted there.
        **settings
            Fields of `AssessmentPlan`: on, times, at, subgroups, ...

        Raises
        ------
        PlanError
            Settings that do not fit; a request refuses a step that is no such fit.
        """
        if isinstance(head, CoxPlan):
            outcome = {"duration": head.duration, "event": head.event}
        else:
            outcome = {"target": head.target}
        family: Literal["cox", "logistic"] = (
            "cox" if isinstance(head, CoxPlan) else "logistic"
        )
        fields = {"split": head.split, **outcome, **settings}
        return AssessmentPlan(FixedModel(family, (), step=step), **fields)

    @staticmethod
    def embedding_of(step: int) -> EmbeddingRef:
        """Refer to the embeddings that step number `step` of this study will make."""
        return EmbeddingRef(STUDY, step, 0, SplitSpec())


def _beside_others(head: CoxPlan | LogisticPlan) -> dict[str, str]:
    """Return the parts of a head that would take all patients, of whom some trained."""
    parts = {"fit_on": "validation", "evaluate_on": "test"}
    return {name: part for name, part in parts.items() if getattr(head, name) == "all"}

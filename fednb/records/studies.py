"""Studies: chains of plans that owners approve once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from fednb.errors import PlanError
from fednb.records.specs import EmbeddingRef, Plan, SplitSpec
from fednb.records.tasks import (
    AnyPlan,
    EmbeddingPlan,
    EvaluationPlan,
    ModelRef,
    TrainingPlan,
)

if TYPE_CHECKING:
    from fednb.records.heads import CoxPlan, LogisticPlan

STUDY: Final = "study"
"""Stands for the contract of the study itself in an `EmbeddingRef`."""

EMBEDDING: Final = EmbeddingRef(STUDY, 2, 0, SplitSpec())
"""The embedding that a study of `StudyPlan.with_heads` makes."""


class StudyPlan(Plan, frozen=True):
    """A chain of plans approved once: train, evaluate, embed, then heads.

    Later steps name the artefact of an earlier one: a `ModelRef` ``"step:N"`` means
    the weights that step N trains, an `EmbeddingRef` of contract `STUDY` what step N
    embeds. A request settles them; sites pin the artefacts as the run goes on.
    """

    steps: tuple[AnyPlan, ...]

    @classmethod
    def with_heads(
        cls, training: TrainingPlan, *heads: CoxPlan | LogisticPlan
    ) -> StudyPlan:
        """Return the usual study: train, evaluate on test patients, embed, fit heads.

        Parameters
        ----------
        training
            What to train.
        *heads
            Fits on `EMBEDDING`, or on covariates alone; all use the training's split.

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
        fits = tuple(msgspec.structs.replace(head, split=split) for head in heads)
        return cls((training, EvaluationPlan(model), EmbeddingPlan(model), *fits))

    @staticmethod
    def model_of(step: int, training: TrainingPlan) -> ModelRef:
        """Refer to the weights that step number `step` of this study will train."""
        return ModelRef(f"step:{step}", training)

    @staticmethod
    def embedding_of(step: int) -> EmbeddingRef:
        """Refer to the embeddings that step number `step` of this study will make."""
        return EmbeddingRef(STUDY, step, 0, SplitSpec())
